//! Rules about ARCHITECTURE.md and README.md.

use super::repository::File;

/// Every crate has a section of its own in ARCHITECTURE.md, with a line that says what it
/// guarantees.
///
/// A section is a heading with the crate's name alone, in backticks; the line starts with
/// `Invariant:`.
#[must_use]
pub fn invariants(text: &str, crates: &[&str]) -> Vec<String> {
    crates
        .iter()
        .filter_map(|name| match section(text, name) {
            None => Some(format!("ARCHITECTURE.md: no section `### \\`{name}\\``")),
            Some(section) if !section.lines().any(|line| line.starts_with("Invariant: ")) => {
                Some(format!("ARCHITECTURE.md: the section of {name} has no `Invariant:` line"))
            }
            Some(_) => None,
        })
        .collect()
}

/// The text between a crate's heading and the next heading.
fn section<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("\n### `{name}`\n");
    let start = text.find(&heading)? + heading.len();
    let rest = &text[start..];
    Some(&rest[..rest.find("\n#").unwrap_or(rest.len())])
}

/// Every piece of Rust in a paper is quoted from one of `sources`, which are compiled and run: line
/// by line, however far it stands indented there.
#[must_use]
pub fn quotes(paper: &File, sources: &[&File]) -> Vec<String> {
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect();
    let sources: Vec<Vec<String>> = sources.iter().map(|source| lines(&source.text)).collect();
    let is_quoted = |piece: &[String]| {
        sources.iter().any(|source| source.windows(piece.len()).any(|lines| lines == piece))
    };
    pieces(&paper.text)
        .into_iter()
        .filter(|(_, piece)| !is_quoted(&lines(piece)))
        .map(|(line, _)| format!("{}:{line}: this code is in none of the examples", paper.path))
        .collect()
}

/// The pieces of Rust in a paper, each with the line that it begins after.
fn pieces(text: &str) -> Vec<(usize, String)> {
    let mut pieces: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (line, number) in text.lines().zip(1..) {
        match (is_inside, line) {
            (false, "```rust") => {
                is_inside = true;
                pieces.push((number, String::new()));
            }
            (true, "```") => is_inside = false,
            (true, line) => pieces.last_mut().into_iter().for_each(|(_, piece)| {
                piece.push_str(line);
                piece.push('\n');
            }),
            (false, _) => {}
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn code_that_no_example_holds_is_named() {
        let source = file("examples/a.rs", "fn a() {\n    if b {\n        c();\n    }\n}\n");
        let paper = |code| file("README.md", &format!("Words.\n\n```rust\n{code}```\n"));
        assert_eq!(quotes(&paper("if b {\n    c();\n"), &[&source]), [""; 0]);
        let wrong = ["README.md:3: this code is in none of the examples"];
        assert_eq!(quotes(&paper("if b {\n    d();\n"), &[&source]), wrong);
        assert_eq!(quotes(&paper("fn a() {\n    c();\n"), &[&source]), wrong);
        assert_eq!(quotes(&file("README.md", "```\nno rust\n```\n"), &[&source]), [""; 0]);
    }

    const TEXT: &str = "# A\n\n### `one`\nWords.\nInvariant: holds.\n\n### `two`\nWords.\n\n## B\nInvariant: no.\n";

    #[test]
    fn crates_with_an_invariant_pass() {
        assert!(invariants(TEXT, &["one"]).is_empty());
    }

    #[test]
    fn crates_without_section_or_invariant_are_named() {
        let wrong = invariants(TEXT, &["one", "two", "three"]);
        assert_eq!(wrong.len(), 2);
        assert!(wrong[0].contains("two") && wrong[1].contains("three"), "{wrong:?}");
    }
}
