//! What a client is told when a command cannot be done, in Redis's words.

use thiserror::Error;

use crate::resp::Reply;

/// Why a command was refused. Applying one may fail only like this, the same on every replica.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CommandError {
    /// The table has no such command.
    #[error("ERR unknown command '{name}', with args beginning with: {args}")]
    UnknownCommand {
        /// The name as sent, shortened.
        name: String,
        /// The first arguments, each in quotes and followed by a space.
        args: String,
    },
    /// The command has no such subcommand.
    #[error("ERR unknown subcommand '{name}'. Try {command} HELP.")]
    UnknownSubcommand {
        /// The subcommand as sent, shortened.
        name: String,
        /// The command in capitals.
        command: String,
    },
    /// Too few or too many arguments.
    #[error("ERR wrong number of arguments for '{command}' command")]
    Arity {
        /// The command, as `name` or `name|subcommand`.
        command: String,
    },
    /// An argument that makes no sense where it stands.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument or stored value that is no integer.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// The sum does not fit.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The most negative number cannot be subtracted.
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    /// A time to live that is not positive, or beyond all time.
    #[error("ERR invalid expire time in '{command}' command")]
    InvalidExpire {
        /// The command.
        command: &'static str,
    },
    /// EXPIRE does not know the option.
    #[error("ERR Unsupported option {option}")]
    UnsupportedOption {
        /// The option as sent, shortened.
        option: String,
    },
    /// EXPIRE's options contradict each other.
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    NxWithOthers,
    /// EXPIRE's options contradict each other.
    #[error("ERR GT and LT options at the same time are not compatible")]
    GtWithLt,
    /// A scan's cursor that is none of ours.
    #[error("ERR invalid cursor")]
    InvalidCursor,
    /// A slot number outside of the 16,384.
    #[error("ERR Invalid slot")]
    InvalidSlot,
    /// A slot number, or a number of keys, out of range.
    #[error("ERR Invalid slot or number of keys")]
    InvalidSlotOrCount,
    /// The keys of one command lie in several slots.
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    /// A log entry that no leader of ours writes.
    #[error("ERR malformed log entry: {0}")]
    MalformedEntry(#[from] super::entry::EntryError),
    /// A log entry with a command that changes nothing.
    #[error("ERR malformed log entry: '{command}' changes nothing")]
    NoWrite {
        /// The command.
        command: &'static str,
    },
    /// A log entry for keys of another group.
    #[error("ERR malformed log entry: slot {slot} is none of this group's")]
    ForeignSlot {
        /// The slot of the key.
        slot: u16,
    },
}

impl From<CommandError> for Reply {
    fn from(error: CommandError) -> Self {
        Self::error(error.to_string())
    }
}

/// A client's own bytes as they may stand in an error: at most `bytes_max`, readable.
pub(crate) fn quote(bytes: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]).into_owned()
}
