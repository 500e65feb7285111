//! A redis-server that syncs each write, and what servers say they have done.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::generator::Found;
use crate::disk::wrong;
use crate::figure::Wrong;
use crate::nodes::{answers, own_host};

/// What it is called.
const PROGRAM: &str = "redis-server";
/// What is held fixed for it.
pub(crate) const SETTINGS: &str = "one process, one copy; appendonly yes, appendfsync always, save \
     off, no rewrite of the file, no cluster; the same clients";
/// How long it may take for anything before the figure is given up.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
const PORT: u16 = 7_001;

/// A server; killed when it is dropped.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    address: SocketAddr,
}

/// Which version is installed.
///
/// # Errors
/// None is; says how to get it.
pub(crate) fn version() -> Result<String, Wrong> {
    match Command::new(PROGRAM).arg("--version").output() {
        Ok(output) => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Wrong(format!(
            "{PROGRAM} is not installed: `apt-get install redis-server` on Debian and Ubuntu, or \
             --ours-only to measure without it"
        ))),
        Err(error) => Err(wrong("start redis-server")(error)),
    }
}

impl RedisServer {
    /// Starts one on an empty folder and waits until it serves.
    pub(crate) fn start(folder: &Path) -> Result<Self, Wrong> {
        let host = own_host()?;
        fs::create_dir_all(folder).map_err(wrong("make a folder"))?;
        let log = File::create(folder.join("log")).map_err(wrong("open a log"))?;
        let mut command = Command::new(PROGRAM);
        command.args(["--bind", &host.to_string(), "--port", &PORT.to_string(), "--dir"]);
        command.arg(folder).args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--auto-aof-rewrite-percentage", "0", "--protected-mode", "no"]);
        command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let child = command.spawn().map_err(wrong("start redis-server"))?;
        let mut server = Self { child, address: SocketAddr::from((host, PORT)) };
        let began = Instant::now();
        while !answers(server.address) {
            let has_ended = !matches!(server.child.try_wait(), Ok(None));
            if has_ended || began.elapsed() > PATIENCE {
                let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
                return Err(Wrong(format!("{PROGRAM} does not serve: {log}")));
            }
            std::thread::sleep(POLL);
        }
        Ok(server)
    }

    /// Where clients reach it.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The servers must have counted at least as many commands as the clients were answered.
///
/// # Errors
/// They have not, or do not say.
pub(crate) fn check_commands(at: &[SocketAddr], found: &Found) -> Result<(), Wrong> {
    let mut served = 0;
    for address in at {
        let info = info(*address).map_err(wrong("ask a server what it did"))?;
        served += commands(&info).ok_or_else(|| Wrong(format!("{address} says {info:?}")))?;
    }
    let counted = found.operations();
    if served < counted {
        return Err(Wrong(format!("{counted} operations counted, of which {served} were served")));
    }
    Ok(())
}

fn commands(info: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix("total_commands_processed:"))?;
    line.trim().parse().ok()
}

/// The answer to INFO stats, up to the field that is looked for.
fn info(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // It closes the connection behind the second answer, so that all that comes is both of them.
    stream.write_all(b"INFO stats\r\nQUIT\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_commands_is_found() {
        let info =
            "$60\r\n# Stats\r\ntotal_connections_received:2\r\ntotal_commands_processed:71\r\n";
        assert_eq!(commands(info), Some(71));
        assert_eq!(commands("-ERR\r\n"), None);
    }
}
