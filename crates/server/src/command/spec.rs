//! What a row of the command table says.

use crate::data::read::ParseRead;
use crate::data::write::ParseWrite;
use crate::front::Ask;
use crate::resp::{Args, Reply};

/// One command, or one subcommand of a command.
#[derive(Debug)]
pub struct Command {
    /// Its name in lower case; of a subcommand, `command|subcommand`.
    pub name: &'static str,
    /// How many arguments it takes, names included; negative if at least that many.
    pub arity: i64,
    /// What is to be known before it is sent anywhere.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: Keys,
    /// What it does with its keys, in Redis's words.
    pub key_use: &'static [&'static str],
    /// What it does with the keys behind the first one, if that is something else.
    pub rest_use: &'static [&'static str],
    /// Hints to clients that spread one command over several nodes.
    pub tips: &'static [&'static str],
    /// What it belongs to.
    pub group: Group,
    /// Since which version Redis has had it.
    pub since: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// How it is done.
    pub work: Work,
    /// Its subcommands, if it has any; it cannot be called without one of them then.
    pub subcommands: &'static [Self],
}

/// How a command is done.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// By an entry in the log of its keys' group.
    Write(ParseWrite),
    /// By a look at the keys of one group.
    Read(ParseRead),
    /// By a look at several groups that this node leads.
    Survey(Survey),
    /// By what the connection queues and watches.
    Transaction(Transaction),
    /// At once, from what connection and node know.
    Talk(fn(&mut Ask<'_>, Args<'_>) -> Reply),
    /// By one of its subcommands.
    Subcommand,
}

/// Commands that concern several groups, or one by its slot or number instead of by a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Survey {
    /// DBSIZE.
    Size,
    /// SCAN.
    Scan,
    /// CLUSTER COUNTKEYSINSLOT.
    CountInSlot,
    /// CLUSTER GETKEYSINSLOT.
    KeysInSlot,
    /// KEYS.
    Keys,
    /// RANDOMKEY.
    RandomKey,
    /// MULTIRAFT STATUS.
    Status,
    /// MULTIRAFT EXPLAIN.
    Explain,
    /// MULTIRAFT TRANSFER.
    Transfer,
}

/// Commands about transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transaction {
    /// MULTI.
    Multi,
    /// EXEC.
    Exec,
    /// DISCARD.
    Discard,
    /// WATCH.
    Watch,
    /// UNWATCH.
    Unwatch,
}

/// Where a command's keys are among its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keys {
    /// It has none.
    None,
    /// The first argument.
    First,
    /// All arguments.
    All,
    /// Every other argument, from the first on.
    Pairs,
    /// The first two arguments.
    FirstTwo,
    /// The second argument.
    Second,
    /// All arguments from the second on.
    FromSecond,
}

impl Keys {
    /// First position, last position (negative: counted from the end) and step, as COMMAND gives
    /// them; all 0 if there are none.
    pub const fn range(self) -> (i64, i64, i64) {
        match self {
            Self::None => (0, 0, 0),
            Self::First => (1, 1, 1),
            Self::All => (1, -1, 1),
            Self::Pairs => (1, -1, 2),
            Self::FirstTwo => (1, 2, 1),
            Self::Second => (2, 2, 1),
            Self::FromSecond => (2, -1, 1),
        }
    }

    /// The keys of a request that has enough arguments.
    pub fn of(self, args: Args<'_>) -> impl Iterator<Item = &[u8]> {
        let (first, take, step) = match self {
            Self::None => (1, 0, 1),
            Self::First => (1, 1, 1),
            Self::All => (1, usize::MAX, 1),
            Self::Pairs => (1, usize::MAX, 2),
            Self::FirstTwo => (1, 2, 1),
            Self::Second => (2, 1, 1),
            Self::FromSecond => (2, usize::MAX, 1),
        };
        args.from(first).step_by(step).take(take)
    }
}

/// What a command belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Keys of any kind.
    Generic,
    /// Strings.
    String,
    /// Bits of strings.
    Bitmap,
    /// Hashes.
    Hash,
    /// Several commands at once.
    Transactions,
    /// The client's own connection.
    Connection,
    /// The node.
    Server,
    /// The cluster.
    Cluster,
}

impl Group {
    /// What COMMAND DOCS calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::Bitmap => "bitmap",
            Self::Hash => "hash",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Cluster => "cluster",
        }
    }
}

/// A set of properties, in the order in which COMMAND names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags(u16);

impl Flags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// It may change keys.
    pub const WRITE: Self = Self(1);
    /// It only looks at keys.
    pub const READONLY: Self = Self(1 << 1);
    /// It may need memory.
    pub const DENYOOM: Self = Self(1 << 2);
    /// It is for operators.
    pub const ADMIN: Self = Self(1 << 3);
    /// It is not for scripts.
    pub const NOSCRIPT: Self = Self(1 << 4);
    /// It is answered while data is being loaded.
    pub const LOADING: Self = Self(1 << 5);
    /// It is answered without a leader.
    pub const STALE: Self = Self(1 << 6);
    /// It is not listed among slow commands: those that it does are.
    pub const SKIP_SLOWLOG: Self = Self(1 << 7);
    /// Its cost does not grow with the data.
    pub const FAST: Self = Self(1 << 8);
    /// It is answered before authentication.
    pub const NO_AUTH: Self = Self(1 << 9);
    /// It is answered while a script runs.
    pub const ALLOW_BUSY: Self = Self(1 << 10);
    /// It cannot be part of a transaction.
    pub const NO_MULTI: Self = Self(1 << 11);

    const NAMES: [&'static str; 12] = [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "noscript",
        "loading",
        "stale",
        "skip_slowlog",
        "fast",
        "no_auth",
        "allow_busy",
        "no_multi",
    ];

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is left of them without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are among them.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What COMMAND calls them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = Self::NAMES.into_iter().enumerate();
        named.filter(move |(bit, _)| self.0 & 1 << bit != 0).map(|(_, name)| name)
    }
}

/// Rows read best when each says only what is special about it.
impl Command {
    /// A command without keys.
    pub(crate) const fn talk(
        name: &'static str,
        arity: i64,
        work: fn(&mut Ask<'_>, Args<'_>) -> Reply,
    ) -> Self {
        Self::new(name, arity, Work::Talk(work))
    }

    /// A command that looks at keys.
    pub(crate) const fn read(
        name: &'static str,
        arity: i64,
        keys: Keys,
        key_use: &'static [&'static str],
        work: ParseRead,
    ) -> Self {
        let flags = Flags::READONLY.and(Flags::FAST);
        Self { keys, key_use, flags, ..Self::new(name, arity, Work::Read(work)) }
    }

    /// A command that changes keys.
    pub(crate) const fn write(
        name: &'static str,
        arity: i64,
        keys: Keys,
        key_use: &'static [&'static str],
        work: ParseWrite,
    ) -> Self {
        let flags = Flags::WRITE;
        Self { keys, key_use, flags, ..Self::new(name, arity, Work::Write(work)) }
    }

    /// A command that looks at several groups.
    pub(crate) const fn survey(name: &'static str, arity: i64, survey: Survey) -> Self {
        // An entry of one group cannot do it.
        Self::new(name, arity, Work::Survey(survey)).flags(Flags::NO_MULTI)
    }

    /// A command about transactions.
    pub(crate) const fn transaction(name: &'static str, arity: i64, part: Transaction) -> Self {
        Self::new(name, arity, Work::Transaction(part))
    }

    /// Says where its keys are and what it does with them.
    pub(crate) const fn keys(self, keys: Keys, key_use: &'static [&'static str]) -> Self {
        Self { keys, key_use, ..self }
    }

    /// A command that is nothing without a subcommand, or with `work` may be called without.
    pub(crate) const fn family(
        name: &'static str,
        arity: i64,
        work: Work,
        subcommands: &'static [Self],
    ) -> Self {
        Self { subcommands, ..Self::new(name, arity, work) }
    }

    const fn new(name: &'static str, arity: i64, work: Work) -> Self {
        Self {
            name,
            arity,
            flags: Flags::NONE,
            keys: Keys::None,
            key_use: &[],
            rest_use: &[],
            tips: &[],
            group: Group::Generic,
            since: "",
            complexity: "",
            summary: "",
            work,
            subcommands: &[],
        }
    }

    /// Adds properties.
    pub(crate) const fn flags(self, flags: Flags) -> Self {
        Self { flags: self.flags.and(flags), ..self }
    }

    /// Says what becomes of the keys behind the first one.
    pub(crate) const fn rest(self, rest_use: &'static [&'static str]) -> Self {
        Self { rest_use, ..self }
    }

    /// Takes back that its cost does not grow with the data.
    pub(crate) const fn slow(self) -> Self {
        Self { flags: self.flags.without(Flags::FAST), ..self }
    }

    /// Adds hints.
    pub(crate) const fn tips(self, tips: &'static [&'static str]) -> Self {
        Self { tips, ..self }
    }

    /// Adds what a human wants to know.
    pub(crate) const fn docs(
        self,
        group: Group,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        Self { group, since, complexity, summary, ..self }
    }

    /// Whether that many arguments, names included, are right.
    pub const fn takes(&self, args: usize) -> bool {
        let wanted = self.arity.unsigned_abs();
        if self.arity < 0 { args as u64 >= wanted } else { args as u64 == wanted }
    }
}
