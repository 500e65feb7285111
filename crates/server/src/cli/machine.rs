//! Whether a machine suits a configuration: what a file alone cannot show.
//!
//! Invariant: nothing is left behind, and nothing that runs is disturbed.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use storage_redb::LOG_FILE;
use types::NodeId;

use super::client::{Patience, ask_once};
use crate::config::{Address, Config, Problem};
use crate::node::Sockets;
use crate::node::descriptors::OWN_DESCRIPTORS;
use crate::resp::Reply;
use crate::resp::number::parse_integer;

/// The first of 2026, in seconds: no clock that is set says less.
const CLOCK_MIN: u64 = 1_767_225_600;
/// By how many seconds clocks may differ: keys expire as much too early or too late.
const APART_MAX: u64 = 5;
/// Another node that takes longer to tell its time is not compared.
const PATIENCE: Patience =
    Patience { connect: Duration::from_secs(1), reply: Duration::from_secs(1) };

/// Looks at folder, ports, file descriptors and clocks. Answers what could not be looked at.
///
/// **Effects**: makes and removes a file in the data folder, or in the one that it would be made in;
/// binds the node's ports for a moment; asks the other nodes that run what time it is.
///
/// # Errors
/// The first thing that would be in a node's way.
pub(crate) fn check(config: &Config) -> Result<Vec<String>, Problem> {
    let now = seconds(SystemTime::now());
    check_folder(&config.data_dir)?;
    check_clock(now, &config.data_dir)?;
    let limit = getrlimit(Resource::Nofile);
    check_descriptors(limit.maximum.or(limit.current), config.limits.clients_max)?;
    Sockets::bind(config).map(drop).map_err(|error| {
        let allowed = format!(
            "an address of this machine that no other process has: {error}; for the file of another \
             machine, or of a node that runs, use --file-only"
        );
        Problem::field(error.role.field(), &error.address, allowed)
    })?;
    compare_clocks(config)
}

/// Whether a node could write to its folder, or make it.
pub(crate) fn check_folder(folder: &Path) -> Result<(), Problem> {
    let wrong = |at: &Path, error: &io::Error| {
        let allowed =
            format!("a folder that this user may write to, but for {}: {error}", at.display());
        Err(Problem::field("data_dir", folder.display(), allowed))
    };
    // What does not exist is made in the nearest folder above that does.
    let mut at = PathBuf::from(folder);
    loop {
        match fs::metadata(&at) {
            Ok(found) if found.is_dir() => break,
            Ok(_) => return wrong(&at, &io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                at = match at.parent() {
                    Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
                    Some(_) | None => PathBuf::from("."),
                };
            }
            Err(error) => return wrong(&at, &error),
        }
    }
    let probe = at.join(format!(".multiraft-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&probe);
    match made.and_then(|_| fs::remove_file(&probe)) {
        Ok(()) => Ok(()),
        Err(error) => wrong(&at, &error),
    }
}

/// Whether the system's clock is set, and has not gone back since the log was last written.
fn check_clock(now: u64, folder: &Path) -> Result<(), Problem> {
    let wrong = |allowed: String| Err(Problem::field("the system clock", now, allowed));
    if now < CLOCK_MIN {
        return wrong(format!("{CLOCK_MIN} seconds after 1970, which is 2026, or more: set it"));
    }
    let log = folder.join(LOG_FILE);
    match fs::metadata(&log).and_then(|log| log.modified()).map(seconds) {
        Ok(written) if written > now + APART_MAX => wrong(format!(
            "{} or more, seconds after 1970: {} was written then; set it, best by NTP",
            written - APART_MAX,
            log.display()
        )),
        // A node that never ran has no log.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Whether as many clients fit into the file descriptors that the process may have at most.
fn check_descriptors(limit: Option<u64>, clients_max: usize) -> Result<(), Problem> {
    let Some(limit) = limit else { return Ok(()) };
    let fitting = limit.saturating_sub(OWN_DESCRIPTORS);
    if clients_max as u64 <= fitting {
        return Ok(());
    }
    if fitting == 0 {
        let allowed = format!(
            "{} or more, and {} for clients_max = {clients_max}: raise it (ulimit -n, LimitNOFILE=)",
            OWN_DESCRIPTORS + 1,
            OWN_DESCRIPTORS.saturating_add(clients_max as u64)
        );
        return Err(Problem::field("the limit on file descriptors", limit, allowed));
    }
    let allowed = format!(
        "{fitting} or less: the process may have {limit} file descriptors (ulimit -n, LimitNOFILE=), \
         of which it needs {OWN_DESCRIPTORS} itself"
    );
    Err(Problem::field("limits.clients_max", clients_max, allowed))
}

/// As the check of the clock, for a node that starts all the same: only times to live depend on it.
pub(crate) fn warn_of_clock(folder: &Path) {
    if let Err(problem) = check_clock(seconds(SystemTime::now()), folder) {
        tracing::warn!(%problem, "keys will expire at the wrong time");
    }
}

/// Whether the clocks of those other nodes that answer agree with ours. Answers who does not.
fn compare_clocks(config: &Config) -> Result<Vec<String>, Problem> {
    let mut silent = Vec::new();
    for (node, _) in &config.peers {
        let Some(member) = config.topology.members.get(node) else { continue };
        let address = Address { host: member.host.clone(), port: member.port };
        let before = seconds(SystemTime::now());
        let told = ask_once(&address.host, address.port, &["TIME".to_owned()], PATIENCE);
        let after = seconds(SystemTime::now());
        match told.map_err(|error| error.to_string()).and_then(|reply| time_of(&reply)) {
            Ok(theirs) => check_apart(*node, &address, theirs, before, after)?,
            Err(reason) => silent.push(format!("the clock of node {node}: {reason}")),
        }
    }
    Ok(silent)
}

/// Whether a clock that said `theirs` agrees with one that said `before` and `after` around it.
fn check_apart(
    node: NodeId,
    address: &Address,
    theirs: u64,
    before: u64,
    after: u64,
) -> Result<(), Problem> {
    let allowed = before.saturating_sub(APART_MAX)..=after.saturating_add(APART_MAX);
    if allowed.contains(&theirs) {
        return Ok(());
    }
    let allowed = format!(
        "{} to {}, seconds after 1970: node {node} at {address} says {theirs}; set both, best by NTP",
        theirs.saturating_sub(APART_MAX),
        theirs.saturating_add(APART_MAX)
    );
    Err(Problem::field("the system clock", after, allowed))
}

/// The seconds in a reply to TIME.
fn time_of(reply: &Reply) -> Result<u64, String> {
    let seconds = if let Reply::Array(items) = reply { items.first() } else { None };
    let seconds = if let Some(Reply::Bulk(text)) = seconds { parse_integer(text) } else { None };
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.ok_or_else(|| format!("it answers {reply:?}, expected a time"))
}

/// Whole seconds after 1970; 0 for what is before.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_folder_is_found_or_could_be_made() {
        let folder = tempfile::tempdir().unwrap();
        check_folder(folder.path()).unwrap();
        check_folder(&folder.path().join("not/there/yet")).unwrap();
        check_folder(Path::new("not-there-yet")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        File::create(&file).unwrap();
        let below = file.join("data");
        for wrong in [&file, &below] {
            let error = check_folder(wrong).unwrap_err().to_string();
            let start =
                format!("data_dir is {:?}, allowed is a folder that", wrong.display().to_string());
            assert!(error.starts_with(&start), "{error}");
        }
        // Nobody may write there, not even root.
        #[cfg(target_os = "linux")]
        {
            let error = check_folder(Path::new("/proc/data")).unwrap_err().to_string();
            assert!(error.contains("this user may write to, but for /proc: "), "{error}");
        }
    }

    #[test]
    fn a_clock_that_is_not_set_or_went_back_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let now = seconds(SystemTime::now());
        check_clock(now, folder.path()).unwrap();
        let error = check_clock(86_400, folder.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("the system clock is \"86400\", allowed is 1767225600"),
            "{error}"
        );
        File::create(folder.path().join(LOG_FILE)).unwrap();
        check_clock(now, folder.path()).unwrap();
        let error = check_clock(now - 60, folder.path()).unwrap_err().to_string();
        assert!(error.contains(LOG_FILE) && error.contains("was written then"), "{error}");
    }

    #[test]
    fn clocks_that_are_far_apart_are_told() {
        let address = Address { host: "h".to_owned(), port: 7 };
        let check = |theirs| check_apart(NodeId(2), &address, theirs, 1_000, 1_001);
        check(995).unwrap();
        check(1_006).unwrap();
        check(994).unwrap_err();
        let error = check(1_007).unwrap_err().to_string();
        let expected = "the system clock is \"1001\", allowed is 1002 to 1012, seconds after 1970: \
                        node 2 at h:7 says 1007; set both, best by NTP";
        assert_eq!(error, expected);
        let time = Reply::Array(vec![Reply::text("17"), Reply::text("3")]);
        assert_eq!(time_of(&time), Ok(17));
        assert!(time_of(&Reply::OK).unwrap_err().contains("expected a time"));
    }

    #[test]
    fn clients_that_do_not_fit_into_the_descriptors_are_told() {
        check_descriptors(None, 10_000).unwrap();
        check_descriptors(Some(10_128), 10_000).unwrap();
        let error = check_descriptors(Some(1_024), 10_000).unwrap_err().to_string();
        assert!(
            error.starts_with("limits.clients_max is \"10000\", allowed is 896 or less"),
            "{error}"
        );
        let error = check_descriptors(Some(128), 1).unwrap_err().to_string();
        let expected = "the limit on file descriptors is \"128\", allowed is 129 or more, and 129 for \
                        clients_max = 1: raise it (ulimit -n, LimitNOFILE=)";
        assert_eq!(error, expected);
    }
}
