//! Rules about ARCHITECTURE.md.

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

#[cfg(test)]
mod tests {
    use super::*;

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
