//! The name that was meant, for one that was mistyped.

use serde::Serialize;
use serde_json::Value;

use super::raw::{RawLimits, RawTiming};

/// What to say behind a complaint as serde words it. Of a name: the nearest one of those that it lists,
/// or the table that the name belongs to. Of a value where a number belongs: which numbers. Empty if
/// there is nothing to say.
pub(crate) fn advice(complaint: &str) -> String {
    if let Some(most) = complaint.strip_prefix("invalid ").and_then(most_expected) {
        return format!("; allowed is a whole number without quotes, {most}");
    }
    let is_about_names = ["unknown field", "unknown variant"];
    if !is_about_names.iter().any(|start| complaint.starts_with(start)) {
        return String::new();
    }
    // Every second piece stands between backticks: what was found, then what was expected.
    let mut names = complaint.split('`').skip(1).step_by(2);
    let Some(found) = names.next() else { return String::new() };
    if let Some(table) = table_of(found) {
        return format!("; {found} belongs under [{table}]");
    }
    nearest(found, names).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// How large a number may be, where serde names the type of one.
fn most_expected(complaint: &str) -> Option<&'static str> {
    let (_, expected) = complaint.rsplit_once(", expected ")?;
    match expected {
        "u32" => Some("0 to 4294967295"),
        "u64" | "usize" => Some("0 or more"),
        _ => None,
    }
}

/// The table that has a field of exactly this name.
fn table_of(field: &str) -> Option<&'static str> {
    let has = |table: Option<Value>| table.is_some_and(|table| table.get(field).is_some());
    if has(value(RawTiming::default())) {
        return Some("timing");
    }
    has(value(RawLimits::default())).then_some("limits")
}

fn value(table: impl Serialize) -> Option<Value> {
    serde_json::to_value(table).ok()
}

/// The name that needs the fewest letters changed, if that is no more than a third of them and one.
fn nearest<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.filter_map(|name| {
        let changes = changes(found, name);
        (changes <= 1 + found.len().max(name.len()) / 3).then_some((changes, name))
    });
    near.min().map(|(_, name)| name)
}

/// How many letters have to be put in, left out or replaced to make one word of another
/// (Levenshtein's distance).
fn changes(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // Row after row of the table of distances between beginnings of both words.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_was_meant_is_found() {
        let names = ["node_id", "nodes", "clients_max", "watched_keys_max"];
        for (found, expected) in [
            ("node_ids", Some("node_id")),
            ("nod", Some("nodes")),
            ("clients", Some("clients_max")),
            ("clients_mx", Some("clients_max")),
            ("foo", None),
            ("", None),
            ("something_else", None),
        ] {
            assert_eq!(nearest(found, names.into_iter()), expected, "{found}");
        }
    }

    #[test]
    fn advice_is_given_about_names_alone() {
        let complaint = "unknown field `grups`, expected one of `cluster_id`, `groups`";
        assert_eq!(advice(complaint), "; did you mean `groups`?");
        let complaint = "unknown field `tick_ms`, expected one of `cluster_id`, `groups`";
        assert_eq!(advice(complaint), "; tick_ms belongs under [timing]");
        let complaint = "unknown variant `two-phases`, expected `one-phase` or `two-phase`";
        assert_eq!(advice(complaint), "; did you mean `two-phase`?");
        assert_eq!(advice("unknown field `zzzzzz`, expected `node_id`"), "");
        assert_eq!(advice("missing field `node_id`"), "");
        assert_eq!(advice("invalid type: integer `1`, expected a string"), "");
    }

    #[test]
    fn numbers_are_named_where_one_belongs() {
        let any = "; allowed is a whole number without quotes, 0 or more";
        assert_eq!(advice("invalid type: string \"1\", expected u64"), any);
        assert_eq!(advice("invalid value: integer `-1`, expected usize"), any);
        let some = "; allowed is a whole number without quotes, 0 to 4294967295";
        assert_eq!(advice("invalid value: integer `99999999999`, expected u32"), some);
    }

    #[test]
    fn changes_are_counted() {
        for (from, to, count) in
            [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(changes(from, to), count, "{from} {to}");
            assert_eq!(changes(to, from), count, "{to} {from}");
        }
    }
}
