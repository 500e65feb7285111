//! What is wrong with a configuration file.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::suggest;

/// A file and what is wrong with it.
#[derive(Debug, Error)]
#[error("{}: {problem}", file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a configuration.
#[derive(Debug, Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read the configuration: {}{}", .0, advice(.0))]
    Read(#[source] io::Error),
    /// It is no TOML, or has a field that does not exist, is missing or is of another type. The
    /// text shows line and column, and the name that was meant.
    #[error("{}{}", .0.to_string().trim_end(), suggest::advice(.0.message()))]
    Syntax(#[source] Box<toml::de::Error>),
    /// A field's value is not allowed.
    #[error("{field} is {value:?}, allowed is {allowed}")]
    Field {
        /// The field, with its table.
        field: String,
        /// What stands there.
        value: String,
        /// What may stand there.
        allowed: String,
    },
}

/// What helps whoever has no file yet.
fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::NotFound {
        "; `multiraft config example` prints one to begin with"
    } else {
        ""
    }
}

impl Problem {
    pub(crate) fn field(
        field: impl Into<String>,
        value: impl Display,
        allowed: impl Display,
    ) -> Self {
        let (value, allowed) = (value.to_string(), allowed.to_string());
        Self::Field { field: field.into(), value, allowed }
    }
}
