//! One command to a running node.

use std::io::{self, IsTerminal, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::args::ClientArgs;
use super::format;
use crate::resp::{DecodeError, Protocol, Reply, decode};

/// How often a redirect is followed: after an election, one may lead to another.
const REDIRECTS_MAX: usize = 8;
/// Longer than a node lets a command wait for a leader.
const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(5), reply: Duration::from_secs(30) };

/// How long a node is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For each of its addresses to be connected.
    pub(crate) connect: Duration,
    /// For each piece of its reply.
    pub(crate) reply: Duration,
}

/// Why there is no reply.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("cannot connect to {address}: {error}; is a node running there?")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        error: io::Error,
    },
    /// The connection broke.
    #[error("lost the connection to {address}: {error}")]
    Lost {
        /// To whom.
        address: String,
        /// How.
        error: io::Error,
    },
    /// What came is no reply.
    #[error("{address} does not speak the Redis protocol: {error}")]
    Reply {
        /// Who.
        address: String,
        /// What is wrong.
        error: DecodeError,
    },
    /// Redirects do not come to an end.
    #[error("redirected more than {REDIRECTS_MAX} times, last to {address}; try again")]
    Redirects {
        /// Where to, last.
        address: String,
    },
}

/// `multiraft client`
pub fn run(args: &ClientArgs) -> ExitCode {
    match ask(&args.host, args.port, &args.words) {
        Ok(reply) => {
            let mut out = io::stdout();
            let printed = if out.is_terminal() {
                out.write_all(format::for_humans(&reply).as_bytes())
            } else {
                out.write_all(&format::bare(&reply))
            };
            // A reader that has left wants nothing more.
            let failed = reply.is_error() || printed.is_err();
            if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            let is_elsewhere = matches!(error, ClientError::Connect { .. });
            let advice = if is_elsewhere { " (-h HOST, -p PORT)" } else { "" };
            eprintln!("multiraft: {error}{advice}");
            ExitCode::FAILURE
        }
    }
}

/// Sends a command and follows redirects to its reply.
///
/// # Errors
/// If there is no reply; one that is an error is a reply.
pub fn ask(host: &str, port: u16, words: &[String]) -> Result<Reply, ClientError> {
    let (mut host, mut port) = (host.to_owned(), port);
    for _ in 0..REDIRECTS_MAX {
        let reply = ask_once(&host, port, words, PATIENCE)?;
        match redirect(&reply) {
            None => return Ok(reply),
            Some((to, at)) => {
                // Without a host, the node's own is meant.
                if !to.is_empty() {
                    host = to;
                }
                port = at;
            }
        }
    }
    Err(ClientError::Redirects { address: format!("{host}:{port}") })
}

/// Where `MOVED slot host:port` leads.
fn redirect(reply: &Reply) -> Option<(String, u16)> {
    let Reply::Error(text) = reply else {
        return None;
    };
    let address = text.strip_prefix("MOVED ")?.split_once(' ')?.1;
    let (host, port) = address.rsplit_once(':')?;
    Some((host.to_owned(), port.parse().ok()?))
}

/// Sends a command to one node and waits for its reply, be it a redirect.
///
/// # Errors
/// If there is no reply in time; one that is an error is a reply.
pub(crate) fn ask_once(
    host: &str,
    port: u16,
    words: &[String],
    patience: Patience,
) -> Result<Reply, ClientError> {
    let address = format!("{host}:{port}");
    let mut stream = connect(host, port, patience.connect)
        .map_err(|error| ClientError::Connect { address: address.clone(), error })?;
    let lost = |error| ClientError::Lost { address: address.clone(), error };
    stream.set_read_timeout(Some(patience.reply)).map_err(lost)?;
    stream.write_all(&request(words)).map_err(lost)?;
    let mut received = BytesMut::new();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut piece).map_err(lost)?;
        if count == 0 {
            return Err(lost(io::ErrorKind::UnexpectedEof.into()));
        }
        received.extend_from_slice(&piece[..count]);
        // Small replies come in one piece; a large one is looked at once per piece.
        match decode(&Bytes::copy_from_slice(&received)) {
            Ok(None) => {}
            Ok(Some((reply, _))) => return Ok(reply),
            Err(error) => return Err(ClientError::Reply { address, error }),
        }
    }
}

fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// The command as a client sends it.
fn request(words: &[String]) -> Bytes {
    let words = words.iter().map(Reply::text).collect();
    Reply::Array(words).to_bytes(Protocol::Resp2)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A node that answers one connection after the other.
    fn node(listener: TcpListener, answers: Vec<String>) -> std::thread::JoinHandle<Vec<String>> {
        std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; 1024];
                let len = stream.read(&mut request).unwrap();
                requests.push(String::from_utf8(request[..len].to_vec()).unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            requests
        })
    }

    fn listen() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn redirects_are_followed() {
        let (first, first_port) = listen();
        let (second, second_port) = listen();
        let first = node(first, vec![format!("-MOVED 7 127.0.0.1:{second_port}\r\n")]);
        let second = node(second, vec!["$1\r\nv\r\n".to_owned()]);
        let words = ["GET".to_owned(), "k".to_owned()];
        assert_eq!(ask("127.0.0.1", first_port, &words).unwrap(), Reply::text("v"));
        let expected = ["*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"];
        assert_eq!(first.join().unwrap(), expected);
        assert_eq!(second.join().unwrap(), expected);
    }

    #[test]
    fn redirects_that_do_not_end_are_given_up() {
        let (listener, port) = listen();
        let answer = format!("-MOVED 7 127.0.0.1:{port}\r\n");
        let node = node(listener, vec![answer; REDIRECTS_MAX]);
        let error = ask("127.0.0.1", port, &["PING".to_owned()]).unwrap_err();
        assert!(matches!(error, ClientError::Redirects { .. }), "{error}");
        node.join().unwrap();
    }

    #[test]
    fn failures_say_what_to_look_at() {
        let (listener, port) = listen();
        let node = node(listener, vec!["HTTP/1.1 400\r\n".to_owned(), String::new()]);
        let ask = || ask("127.0.0.1", port, &["PING".to_owned()]).unwrap_err().to_string();
        assert!(ask().contains("does not speak the Redis protocol"));
        assert!(ask().contains("lost the connection"));
        node.join().unwrap();
        assert!(ask().contains("is a node running there?"));
    }
}
