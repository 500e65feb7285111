//! Rules about the lines of files.
//!
//! Files are looked at line by line, not parsed: a rule that can be got round on purpose still
//! catches what is done in good faith. Comments do not count as code.

use super::house::{Kind, member, member_of};
use super::repository::File;

/// The most lines of a source file, its tests apart.
pub const LINES_MAX: usize = 600;

/// Words that stand for work not done. Put together here so that this file does not hold them.
const UNFINISHED: [&str; 4] = [
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
];

/// What starts a thread or reads a clock, or imports what does.
const THREADS_AND_CLOCKS: [&str; 4] = ["std::thread", "thread::", "Instant::now", "SystemTime"];

/// Pure crates declare that they use neither std nor unsafe code.
///
/// `file` is the `src/lib.rs` of such a crate.
#[must_use]
pub fn pure_root(file: &File) -> Vec<String> {
    ["#![no_std]", "#![forbid(unsafe_code)]"]
        .into_iter()
        .filter(|attribute| !file.text.lines().any(|line| line == *attribute))
        .map(|attribute| format!("{}: no `{attribute}`", file.path))
        .collect()
}

/// Pure crates do not take std back, not for tests either.
#[must_use]
pub fn no_std_taken_back(file: &File) -> Vec<String> {
    if !is_in_pure_crate(file) || !file.path.contains("/src/") {
        return Vec::new();
    }
    complain(file, &file.text, |line| is_code(line) && line.contains("extern crate std"))
        .map(|place| format!("{place}: a pure crate takes std back"))
        .collect()
}

/// Threads and clocks belong to the crates that lead; everybody else gets time as an input.
///
/// In crates that are not pure, tests may use both.
#[must_use]
pub fn threads_and_clocks(file: &File) -> Vec<String> {
    let kind = member_of(&file.path).and_then(member).map(|member| member.kind);
    let text = match kind {
        None | Some(Kind::Free) => return Vec::new(),
        Some(Kind::Pure { .. }) => file.text.as_str(),
        Some(Kind::Led) if is_test(&file.path) => return Vec::new(),
        Some(Kind::Led) => code(&file.text),
    };
    if !is_rust(file) {
        return Vec::new();
    }
    THREADS_AND_CLOCKS
        .iter()
        .flat_map(|word| {
            complain(file, text, move |line| is_code(line) && has_path(line, word))
                .map(move |place| format!("{place}: `{word}` outside of engine and server"))
        })
        .collect()
}

/// A file is one noun: it stops at [`LINES_MAX`] lines. Tests and golden data do not count.
#[must_use]
pub fn length(file: &File) -> Vec<String> {
    if !is_rust(file) || is_test(&file.path) {
        return Vec::new();
    }
    let found = code(&file.text).lines().count();
    if found <= LINES_MAX {
        return Vec::new();
    }
    vec![format!("{}: {found} lines before the tests, at most {LINES_MAX}", file.path)]
}

/// Everything is ASCII, so that what is seen is what is there.
#[must_use]
pub fn ascii(file: &File) -> Vec<String> {
    complain(file, &file.text, |line| !line.is_ascii())
        .map(|place| format!("{place}: a character that is not ASCII"))
        .collect()
}

/// Nothing is left for later.
#[must_use]
pub fn finished(file: &File) -> Vec<String> {
    if !is_rust(file) {
        return Vec::new();
    }
    UNFINISHED
        .iter()
        .flat_map(|word| {
            complain(file, &file.text, move |line| line.contains(word))
                .map(move |place| format!("{place}: `{word}`"))
        })
        .collect()
}

/// The places of the lines of `text`, the start of `file`, that a rule objects to.
fn complain(
    file: &File,
    text: &str,
    is_wrong: impl Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    let wrong = text.lines().enumerate().filter(move |(_, line)| is_wrong(line));
    wrong.map(|(above, _)| format!("{}:{}", file.path, above + 1))
}

fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

fn is_in_pure_crate(file: &File) -> bool {
    let member = member_of(&file.path).and_then(member);
    is_rust(file) && matches!(member.map(|member| member.kind), Some(Kind::Pure { .. }))
}

fn is_code(line: &str) -> bool {
    !line.trim_start().starts_with("//")
}

/// Whether `line` has `path` with no letter, digit or `_` before it.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        !line[..start].ends_with(|before: char| before.is_alphanumeric() || before == '_')
    })
}

/// Whether a file is a test or golden data as a whole: by its folder, or by its own name.
fn is_test(path: &str) -> bool {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let name = name.strip_suffix(".rs").unwrap_or(name);
    // The member `tests` has helpers in `src`, which are code as any other.
    let folders = folders.strip_prefix("tests/src").unwrap_or(folders);
    folders.split('/').any(|folder| folder == "tests" || folder == "golden")
        || ["tests", "golden"].iter().any(|end| {
            name == *end || name.strip_suffix(end).is_some_and(|start| start.ends_with('_'))
        })
}

/// The lines above the tests: those before the first module that is there for tests only. A
/// `#[cfg(test)]` on anything else hides nothing.
fn code(text: &str) -> &str {
    let mut offset = 0;
    let mut tests_from = None;
    for line in text.split_inclusive('\n') {
        match line.trim_end() {
            "#[cfg(test)]" => tests_from = Some(offset),
            // Other attributes may stand between.
            other if other.starts_with("#[") => {}
            other => {
                if let Some(end) = tests_from
                    && other.starts_with("mod ")
                    && other.ends_with('{')
                {
                    return &text[..end];
                }
                tests_from = None;
            }
        }
        offset += line.len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    const PURE: &str = "crates/routing/src/table.rs";
    const LED: &str = "crates/transport/src/link.rs";

    #[test]
    fn pure_roots_without_their_attributes_are_named() {
        let root = |text| pure_root(&file("crates/types/src/lib.rs", text));
        assert!(root("//! Doc.\n#![no_std]\n#![forbid(unsafe_code)]\n").is_empty());
        assert_eq!(root("#![no_std]\n"), ["crates/types/src/lib.rs: no `#![forbid(unsafe_code)]`"]);
        assert_eq!(root("// #![no_std]\n#![deny(unsafe_code)]\n").len(), 2);
    }

    #[test]
    fn std_taken_back_is_named() {
        let text = "extern crate alloc;\n#[cfg(test)]\nextern crate std;\n";
        assert_eq!(
            no_std_taken_back(&file(PURE, text)),
            ["crates/routing/src/table.rs:3: a pure crate takes std back"]
        );
        assert!(no_std_taken_back(&file(PURE, "// extern crate std\n")).is_empty());
        assert!(no_std_taken_back(&file(LED, text)).is_empty());
    }

    #[test]
    fn threads_and_clocks_are_named_where_they_do_not_belong() {
        for line in [
            "std::thread::spawn(f);",
            "use std::thread;",
            "thread::sleep(d);",
            "let t = Instant::now();",
            "use std::time::SystemTime;",
        ] {
            assert!(!threads_and_clocks(&file(PURE, line)).is_empty(), "{line}");
            assert!(!threads_and_clocks(&file(LED, line)).is_empty(), "{line}");
            assert!(!threads_and_clocks(&file("crates/sim/src/world.rs", line)).is_empty());
            for free in ["crates/engine/src/a.rs", "crates/server/src/a.rs", "tests/a.rs"] {
                assert!(threads_and_clocks(&file(free, line)).is_empty(), "{line}");
            }
        }
        for line in ["// no std::thread here", "multithread::run();", "let instant = now;"] {
            assert!(threads_and_clocks(&file(PURE, line)).is_empty(), "{line}");
        }
    }

    #[test]
    fn tests_may_use_threads_and_clocks_outside_of_pure_crates() {
        let text = "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n";
        assert!(threads_and_clocks(&file(LED, text)).is_empty());
        assert_eq!(threads_and_clocks(&file(PURE, text)).len(), 1);
        assert!(threads_and_clocks(&file("crates/transport/tests/a.rs", text)).is_empty());
        assert_eq!(threads_and_clocks(&file("crates/routing/tests/a.rs", text)).len(), 1);
    }

    #[test]
    fn long_files_are_named_but_tests_do_not_count() {
        let lines = |count| "x\n".repeat(count);
        assert!(length(&file(PURE, &lines(600))).is_empty());
        assert_eq!(
            length(&file(PURE, &lines(601))),
            ["crates/routing/src/table.rs: 601 lines before the tests, at most 600"]
        );
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}", lines(600), lines(50));
        assert!(length(&file(PURE, &with_tests)).is_empty());
        let elsewhere = format!("#[cfg(test)]\nmod tests;\n{}", lines(600));
        assert_eq!(length(&file(PURE, &elsewhere)).len(), 1);
        let helper = format!("#[cfg(test)]\nfn helper() {{\n}}\n{}", lines(600));
        assert_eq!(length(&file(PURE, &helper)).len(), 1);
        for test in ["crates/a/tests/b.rs", "tests/b.rs", "crates/a/src/b_tests.rs"] {
            assert!(length(&file(test, &lines(601))).is_empty(), "{test}");
        }
        for code in ["tests/src/b.rs", "benches/src/b.rs", "crates/a/src/contests.rs"] {
            assert_eq!(length(&file(code, &lines(601))).len(), 1, "{code}");
        }
    }

    #[test]
    fn attributes_may_stand_between_cfg_test_and_its_module() {
        assert_eq!(code("a\n#[cfg(test)]\n#[allow(x)]\nmod tests {\nb\n}\n"), "a\n");
        assert_eq!(
            code("a\n#[cfg(test)]\nuse b;\nmod c {\n}\n"),
            "a\n#[cfg(test)]\nuse b;\nmod c {\n}\n"
        );
    }

    #[test]
    fn characters_beyond_ascii_are_named() {
        assert!(ascii(&file("README.md", "plain\n")).is_empty());
        assert_eq!(
            ascii(&file("README.md", "plain\n\u{2192}\n")),
            ["README.md:2: a character that is not ASCII"]
        );
    }

    #[test]
    fn unfinished_work_is_named() {
        for word in UNFINISHED {
            let text = format!("fn f() {{\n    {word}()\n}}\n");
            assert_eq!(finished(&file(PURE, &text)), [format!("{PURE}:2: `{word}`")]);
        }
        assert!(finished(&file(PURE, "fn done() {}\n")).is_empty());
    }
}
