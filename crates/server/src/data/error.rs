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
    /// The key holds another kind of value.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// RENAME of a key that does not exist.
    #[error("ERR no such key")]
    NoSuchKey,
    /// COPY of a key to itself.
    #[error("ERR source and destination objects are the same")]
    SameKey,
    /// A number that is too large for what it counts.
    #[error("ERR value is out of range, value must between -2147483648 and 2147483647")]
    NotInt32,
    /// A database that there is not.
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    /// COPY to another database than the one that a cluster has.
    #[error("ERR Copying to another database is not allowed in cluster mode")]
    OtherDatabase,
    /// SETRANGE before the beginning.
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    /// A string that would be longer than [`super::value::STRING_BYTES_MAX`].
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    /// A bit that no string has.
    #[error("ERR bit offset is not an integer or out of range")]
    BitOffset,
    /// A bit to be set to something else than 0 or 1.
    #[error("ERR bit is not an integer or out of range")]
    BitValue,
    /// A bit to be found that is neither 0 nor 1.
    #[error("ERR The bit argument must be 1 or 0.")]
    BitArgument,
    /// BITOP NOT of several keys.
    #[error("ERR BITOP NOT must be called with a single source key.")]
    NotOfSeveral,
    /// A field to be counted up that is no integer.
    #[error("ERR hash value is not an integer")]
    HashNotInteger,
    /// An increment or stored value that is no number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// A field to be counted up that is no number.
    #[error("ERR hash value is not a float")]
    HashNotFloat,
    /// A field cannot be counted up by infinity.
    #[error("ERR value is NaN or Infinity")]
    InfiniteIncrement,
    /// A sum that is larger than all numbers.
    #[error("ERR increment would produce NaN or Infinity")]
    InfiniteSum,
    /// HRANDFIELD of more fields than can be counted.
    #[error(
        "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
    )]
    NotSymmetric,
    /// HRANDFIELD of more fields and values than can be counted.
    #[error("ERR value is out of range")]
    OutOfRange,
    /// HRANDFIELD of so many fields that the reply is larger than any may be.
    #[error("ERR the reply is larger than {bytes_max} bytes: ask for fewer fields")]
    TooManyFields {
        /// How large it may be.
        bytes_max: usize,
    },
    /// OBJECT FREQ, which needs an eviction policy.
    #[error(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust."
    )]
    NoFrequency,
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
    /// A transaction whose replies are larger together than any may be. It was applied.
    #[error("ERR the transaction was applied, but its replies are larger than {bytes_max} bytes")]
    ResultTooLarge {
        /// How large they may be.
        bytes_max: usize,
    },
    /// EXEC or DISCARD of nothing.
    #[error("ERR {command} without MULTI")]
    WithoutMulti {
        /// The command.
        command: &'static str,
    },
    /// MULTI within a transaction.
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    /// WATCH within a transaction.
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInMulti,
    /// A command that cannot be part of a transaction.
    #[error("ERR Command not allowed inside a transaction")]
    NotInMulti,
    /// Something could not be queued.
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    ExecAbort,
    /// EXEC itself is wrong.
    #[error("EXECABORT Transaction discarded because of: {reason}")]
    ExecRefused {
        /// What is wrong with it, without a code.
        reason: String,
    },
    /// One command too many for a transaction.
    #[error("ERR the transaction has more commands than transaction_commands_max = {commands_max}")]
    TooManyQueued {
        /// How many it may have.
        commands_max: usize,
    },
    /// A transaction that no entry could hold.
    #[error(
        "ERR the transaction with its watched keys is larger than entry_bytes_max = {bytes_max}"
    )]
    QueueTooLarge {
        /// How large entries may be.
        bytes_max: usize,
    },
    /// One key too many to be watched.
    #[error("ERR more keys are watched than watched_keys_max = {keys_max}")]
    TooManyWatched {
        /// How many may be.
        keys_max: usize,
    },
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

/// A client's own bytes as they may stand in an error: at most `bytes_max`, readable, and as in
/// Redis only what stands before a zero.
pub(crate) fn quote(bytes: &[u8], bytes_max: usize) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(&text[..text.len().min(bytes_max)]).into_owned()
}
