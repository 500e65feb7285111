//! The crates of the house. ARCHITECTURE.md says the same in words; a new arrow between crates is
//! a change of design and begins with a decision record.

/// What a crate may import.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its package name.
    pub name: &'static str,
    /// Those of ours that it may import, for its tests too.
    pub imports: &'static [&'static str],
    /// Those that it may import for its tests alone.
    pub test_imports: &'static [&'static str],
    /// Whether it is pure, and may have which dependencies from outside if it is.
    pub kind: Kind,
}

/// What a crate has access to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `no_std`: no clock, no thread, no file, no socket. Dependencies from outside are listed,
    /// because an import could bring all of these back.
    Pure {
        /// The dependencies from outside, those of its tests apart.
        outside: &'static [&'static str],
    },
    /// Uses std, but neither starts threads nor reads the clock: both are given to it.
    Led,
    /// Uses whatever it needs.
    Free,
}

/// All members of the workspace that there may be.
pub const MEMBERS: &[Member] = &[
    Member { name: "types", imports: &[], test_imports: &[], kind: Kind::Pure { outside: &[] } },
    Member {
        name: "raft-core",
        imports: &["types"],
        test_imports: &[],
        kind: Kind::Pure { outside: &["bytes"] },
    },
    Member {
        name: "codec",
        imports: &["types", "raft-core"],
        test_imports: &[],
        // crc32c needs std inside; it computes, and does nothing else.
        kind: Kind::Pure { outside: &["bincode", "bytes", "crc32c"] },
    },
    Member {
        name: "routing",
        imports: &["types"],
        test_imports: &[],
        kind: Kind::Pure { outside: &[] },
    },
    Member {
        name: "multiraft",
        imports: &["types", "raft-core", "codec", "routing"],
        test_imports: &[],
        kind: Kind::Pure { outside: &["bytes", "hashbrown"] },
    },
    Member {
        name: "storage-redb",
        imports: &["types", "raft-core", "codec"],
        // Itself, with what tests alone may use.
        test_imports: &["storage-redb"],
        kind: Kind::Led,
    },
    Member {
        name: "sim",
        imports: &["types", "raft-core", "codec", "routing", "multiraft", "storage-redb"],
        test_imports: &[],
        kind: Kind::Led,
    },
    Member { name: "transport", imports: &["types"], test_imports: &[], kind: Kind::Led },
    Member {
        name: "engine",
        imports: &[
            "types",
            "raft-core",
            "codec",
            "routing",
            "multiraft",
            "storage-redb",
            "transport",
        ],
        test_imports: &["engine"],
        kind: Kind::Free,
    },
    Member {
        name: "server",
        imports: &[
            "types",
            "raft-core",
            "codec",
            "routing",
            "multiraft",
            "storage-redb",
            "transport",
            "engine",
        ],
        // Checks what clients of real processes saw; what ships knows no simulator.
        test_imports: &["sim"],
        kind: Kind::Free,
    },
    Member {
        name: "examples",
        imports: &["types", "raft-core", "routing", "multiraft", "storage-redb", "engine"],
        test_imports: &[],
        kind: Kind::Free,
    },
    Member { name: "tests", imports: EVERYTHING, test_imports: &[], kind: Kind::Free },
    Member { name: "benches", imports: EVERYTHING, test_imports: &[], kind: Kind::Free },
];

/// All crates; nobody imports `examples`, `tests` and `benches`.
const EVERYTHING: &[&str] = &[
    "types",
    "raft-core",
    "codec",
    "routing",
    "multiraft",
    "storage-redb",
    "transport",
    "engine",
    "server",
    "sim",
];

/// The only member that may use bincode, and the version that has to be pinned.
pub const BINCODE: (&str, &str) = ("codec", "=2.0.1");

/// The feature of `engine` by which a test makes it wrong on purpose.
pub const PLANTED_BUGS: &str = "planted-bugs";

/// Finds a member by its package name.
#[must_use]
pub fn member(name: &str) -> Option<&'static Member> {
    MEMBERS.iter().find(|member| member.name == name)
}

/// The one folder with a manifest that is no member: fuzz targets need another compiler.
pub const OUTSIDE: &str = "fuzz";

/// The member that a file belongs to, by its path from the root; none for the root's own files.
#[must_use]
pub fn member_of(path: &str) -> Option<&str> {
    let (first, rest) = path.split_once('/')?;
    match first {
        "crates" => rest.split('/').next(),
        "examples" | "tests" | "benches" => Some(first),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_only_go_downwards() {
        for (position, upper) in MEMBERS.iter().enumerate() {
            let imports = upper.imports.iter().chain(upper.test_imports);
            for import in imports.filter(|import| **import != upper.name) {
                assert!(
                    MEMBERS[..position].iter().any(|lower| lower.name == *import),
                    "{} must stand above {import}",
                    upper.name
                );
            }
        }
    }

    #[test]
    fn files_belong_to_their_member() {
        assert_eq!(member_of("crates/types/src/lib.rs"), Some("types"));
        assert_eq!(member_of("tests/src/lib.rs"), Some("tests"));
        assert_eq!(member_of("docs/format.md"), None);
        assert_eq!(member_of("Cargo.toml"), None);
    }
}
