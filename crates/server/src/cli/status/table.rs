//! The view for humans: a line on the whole, one per node, and one per group that is shown.

use super::merge::View;
use crate::report::{GroupReport, NodeReport};

/// What stands where nothing is known or nothing is wrong.
const NOTHING: &str = "-";

/// The view as text; with more columns if it may be wide.
pub fn print(view: &View, is_wide: bool) -> String {
    let mut out = format!(
        "cluster {}: {}, {} nodes, {} groups, {} led\n\n",
        view.cluster,
        view.level.name(),
        view.nodes.len(),
        view.groups_total,
        view.groups_led
    );
    let mut head =
        vec!["NODE", "ADDRESS", "UP", "LEADS", "FOLLOWS", "LAG", "LOG", "FSYNC P99", "VERSION"];
    if is_wide {
        head.extend([
            "CANDIDATES",
            "LEARNERS",
            "FOUNDING",
            "UPTIME",
            "FSYNC P50",
            "COMMITS",
            "ENTRIES",
        ]);
    }
    head.push("PROBLEM");
    out.push_str(&columns(&head, view.nodes.iter().map(|node| node_row(node, is_wide))));
    let mut head = vec!["GROUP", "LEADER", "TERM", "COMMIT", "APPLIED", "LAST", "LAG"];
    if is_wide {
        head.extend(["SEEN AS", "PERSISTED", "LAG OF", "HANDED TO"]);
    }
    head.push("PROBLEM");
    out.push('\n');
    out.push_str(&columns(&head, view.groups.iter().map(|group| group_row(group, is_wide))));
    let more = view.groups_total.saturating_sub(view.groups.len());
    if more > 0 {
        out.push_str(&format!("and {more} more groups, none worse; --groups N shows more\n"));
    }
    out
}

fn node_row(node: &NodeReport, is_wide: bool) -> Vec<String> {
    let own = |text: fn(&crate::report::OwnReport) -> String| {
        node.own.as_ref().map_or_else(|| NOTHING.to_owned(), text)
    };
    let mut row = vec![
        node.id.to_string(),
        format!("{}:{}", node.host, node.port),
        if node.up { "yes" } else { "no" }.to_owned(),
        node.leads.to_string(),
        own(|own| own.followers.to_string()),
        node.lag.to_string(),
        own(|own| bytes(own.log_bytes)),
        own(|own| micros(own.commit_p99_us)),
        own(|own| own.version.clone()),
    ];
    if is_wide {
        row.extend([
            own(|own| own.candidates.to_string()),
            own(|own| own.learners.to_string()),
            own(|own| own.founding.to_string()),
            own(|own| format!("{}s", own.uptime_seconds)),
            own(|own| micros(own.commit_p50_us)),
            own(|own| own.log_commits.to_string()),
            own(|own| own.log_entries.map_or_else(|| NOTHING.to_owned(), |it| it.to_string())),
        ]);
    }
    row.push(node.problem.clone().unwrap_or_else(|| NOTHING.to_owned()));
    row
}

fn group_row(group: &GroupReport, is_wide: bool) -> Vec<String> {
    let node = |node: Option<u64>| node.map_or_else(|| NOTHING.to_owned(), |node| node.to_string());
    let mut row = vec![
        group.id.to_string(),
        node(group.leader),
        group.term.to_string(),
        group.commit.to_string(),
        group.applied.to_string(),
        group.last.to_string(),
        group.lag_max().to_string(),
    ];
    if is_wide {
        let lag: Vec<String> =
            group.lag.iter().map(|(node, entries)| format!("{node}:{entries}")).collect();
        row.extend([
            group.role.name().to_owned(),
            group.persisted.to_string(),
            if lag.is_empty() { NOTHING.to_owned() } else { lag.join(",") },
            node(group.transferee),
        ]);
    }
    row.push(group.problem.clone().unwrap_or_else(|| NOTHING.to_owned()));
    row
}

/// Rows below their heads, each column as wide as its widest cell, the last one without end.
fn columns(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// A time in the unit that leaves it short.
fn micros(micros: Option<u64>) -> String {
    match micros {
        None => NOTHING.to_owned(),
        Some(micros) if micros < 1_000 => format!("{micros} us"),
        Some(micros) if micros < 1_000_000 => {
            format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
        }
        Some(micros) => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// Bytes in the largest unit that leaves a number of at least 1.
fn bytes(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.into_iter().find(|(shift, _)| bytes >> shift > 0);
    unit.map_or_else(|| format!("{bytes} B"), |(shift, name)| format!("{} {name}", bytes >> shift))
}
