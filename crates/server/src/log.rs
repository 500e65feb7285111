//! What is logged: how an operator says so, at the start (`--log`) and while the program runs
//! (`MULTIRAFT LOG`).
//!
//! Every event is one line on stderr, with its fields. The filter is the process's, as the log is:
//! nodes that share a process share both.

use std::fmt;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::OnceLock;

use parking_lot::Mutex;
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The parts of the program that say something.
const PARTS: [&str; 3] = ["engine", "server", "transport"];
/// How long a filter may be, in bytes: a few parts of a few modules.
const FILTER_BYTES_MAX: usize = 512;

/// Which events are logged: `LEVEL`, or parts with levels of their own as in `info,engine=debug`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFilter(String);

/// Why something is no filter.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FilterError {
    /// A word that should be a level is none.
    #[error(
        "'{found}' is no level: allowed is off, error, warn, info, debug or trace, and PART=LEVEL \
         after a comma, as in info,engine=debug"
    )]
    Level {
        /// What stands there.
        found: String,
    },
    /// There is no such part.
    #[error("'{found}' is no part that logs: allowed is {}, or a module of one", PARTS.join(", "))]
    Part {
        /// What stands there.
        found: String,
    },
    /// A part, or the rest, has two levels.
    #[error("{found} has two levels: give it one")]
    Twice {
        /// Which part.
        found: String,
    },
    /// It is too long.
    #[error("the filter has {bytes} bytes, at most {FILTER_BYTES_MAX} are allowed")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
}

impl FromStr for LogFilter {
    type Err = FilterError;

    /// Reads a filter; upper and lower case are the same.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(FilterError::TooLong { bytes: text.len() });
        }
        let mut seen: Vec<&str> = Vec::new();
        let text = text.to_ascii_lowercase();
        let mut directives = Vec::new();
        for directive in text.split(',').map(str::trim) {
            let (part, level) = match directive.split_once('=') {
                Some((part, level)) => (check_part(part)?, level),
                None => ("", directive),
            };
            // Numbers are levels to the library, and nobody knows which.
            let is_level = level.parse::<LevelFilter>().is_ok() && level.parse::<u8>().is_err();
            if !is_level || level.is_empty() {
                return Err(FilterError::Level { found: level.to_owned() });
            }
            if seen.contains(&part) {
                let found = if part.is_empty() { "the log as a whole" } else { part };
                return Err(FilterError::Twice { found: found.to_owned() });
            }
            seen.push(part);
            directives.push(directive.to_owned());
        }
        Ok(Self(directives.join(",")))
    }
}

/// A part that logs, or a module of one.
fn check_part(part: &str) -> Result<&str, FilterError> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut path = part.split("::");
    let is_known = path.next().is_some_and(|first| PARTS.contains(&first));
    let is_path = path.all(|module| !module.is_empty() && module.bytes().all(is_word));
    if is_known && is_path { Ok(part) } else { Err(FilterError::Part { found: part.to_owned() }) }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why the filter cannot be changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ChangeError {
    /// The program that the node runs in keeps its log itself.
    #[error("this program keeps its log itself: change it there")]
    NotOurs,
    /// The log does not take it.
    #[error("the log does not take the filter: {0}")]
    Refused(String),
}

/// How the log of this process is set.
struct Control {
    current: Mutex<LogFilter>,
    set: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
}

/// There is one log in a process, and so one of these.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// Begins to log to stderr, what `filter` lets through. Once in a process; later calls, and those in
/// a program that has a log already, change nothing.
pub fn start(filter: LogFilter) {
    let log = tracing_subscriber::fmt().with_env_filter(env_filter(&filter));
    let log = log.with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let log = log.with_filter_reloading();
    let handle = log.reload_handle();
    if tracing::subscriber::set_global_default(log.finish()).is_ok() {
        let set = move |filter| handle.reload(filter).map_err(|error| error.to_string());
        let _ = CONTROL.set(Control { current: Mutex::new(filter), set: Box::new(set) });
    }
}

/// What is logged now.
///
/// # Errors
/// [`ChangeError::NotOurs`] if [`start`] was not called.
pub fn current() -> Result<LogFilter, ChangeError> {
    CONTROL.get().map(|control| control.current.lock().clone()).ok_or(ChangeError::NotOurs)
}

/// Logs what `filter` lets through from now on, and returns what was logged before.
///
/// # Errors
/// [`ChangeError`]; nothing has changed.
pub fn change(filter: LogFilter) -> Result<LogFilter, ChangeError> {
    let control = CONTROL.get().ok_or(ChangeError::NotOurs)?;
    let mut current = control.current.lock();
    (control.set)(env_filter(&filter)).map_err(ChangeError::Refused)?;
    Ok(std::mem::replace(&mut current, filter))
}

fn env_filter(filter: &LogFilter) -> EnvFilter {
    // A `LogFilter` has no directive that the library would leave out.
    EnvFilter::new(&filter.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<LogFilter>().unwrap_err().to_string()
    }

    #[test]
    fn filters_are_levels_and_parts_with_levels() {
        for (text, expected) in [
            ("info", "info"),
            ("WARN", "warn"),
            ("off", "off"),
            ("info, engine=Debug", "info,engine=debug"),
            ("server::node=trace,transport=off", "server::node=trace,transport=off"),
        ] {
            let filter: LogFilter = text.parse().unwrap();
            assert_eq!(filter.to_string(), expected);
            // What we let through, the library reads as a whole.
            assert!(EnvFilter::try_new(&filter.0).is_ok(), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_its_name() {
        for (text, word, allowed) in [
            ("loud", "'loud' is no level", "off, error, warn, info, debug or trace"),
            ("", "'' is no level", "off, error"),
            ("3", "'3' is no level", "off, error"),
            ("info,", "'' is no level", "off, error"),
            ("engine=", "'' is no level", "PART=LEVEL"),
            ("engine=very", "'very' is no level", "PART=LEVEL"),
            ("a=b=c", "'a' is no part", "engine, server, transport"),
            ("info,engin=debug", "'engin' is no part", "engine, server, transport"),
            ("engine::=debug", "'engine::' is no part", "engine, server, transport"),
            ("engine[x]=debug", "'engine[x]' is no part", "engine, server, transport"),
            ("info,warn", "the log as a whole has two levels", "give it one"),
            ("engine=info,engine=warn", "engine has two levels", "give it one"),
        ] {
            let error = refused(text);
            assert!(error.contains(word) && error.contains(allowed), "{text}: {error}");
        }
        assert!(refused(&"x".repeat(513)).contains("513 bytes, at most 512"));
    }

    #[test]
    fn a_program_that_keeps_its_log_itself_is_told_so() {
        assert_eq!(current(), Err(ChangeError::NotOurs));
        assert_eq!(change("info".parse().unwrap()), Err(ChangeError::NotOurs));
    }
}
