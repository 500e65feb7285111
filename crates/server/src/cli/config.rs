//! `multiraft config`: whether a node would start with a file on this machine, and what one looks like.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use super::args::{ConfigArgs, ConfigCommand};
use super::machine;
use crate::config::raw::RawConfig;
use crate::config::{Config, ConfigError, Problem};
use crate::node::Settings;

/// A file with every field, explained.
const EXAMPLE: &str = include_str!("../../node.example.toml");

/// `multiraft config`
pub fn run(args: &ConfigArgs) -> ExitCode {
    match &args.command {
        ConfigCommand::Check { file, file_only } => tell(file, *file_only),
        ConfigCommand::Example => {
            // Whoever reads only the beginning has what he wants.
            let _ = std::io::stdout().write_all(EXAMPLE.as_bytes());
            ExitCode::SUCCESS
        }
    }
}

/// Looks at a file, and says what was found.
fn tell(file: &Path, file_only: bool) -> ExitCode {
    match check(file, file_only) {
        Ok(Checked { values, unknown }) => {
            println!("{}: ok", file.display());
            unknown.iter().for_each(|what| println!("not looked at: {what}"));
            println!("\n{values}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("multiraft: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is said of a file that is right.
struct Checked {
    /// All values that hold, defaults included: one line each, fields with their tables.
    values: String,
    /// What could not be looked at.
    unknown: Vec<String>,
}

/// Looks at a file, and at the machine unless told not to.
///
/// # Errors
/// Names file, field, value and what is allowed.
fn check(file: &Path, file_only: bool) -> Result<Checked, String> {
    let wrong = |problem| ConfigError { file: file.to_owned(), problem }.to_string();
    let text = std::fs::read_to_string(file).map_err(|error| wrong(Problem::Read(error)))?;
    let config = Config::parse(&text).map_err(wrong)?;
    Settings::new(&config).map_err(|error| format!("{}: {error}", file.display()))?;
    let raw: RawConfig =
        toml::from_str(&text).map_err(|error| wrong(Problem::Syntax(Box::new(error))))?;
    let value = serde_json::to_value(raw)
        .map_err(|error| format!("{}: cannot print the values: {error}", file.display()))?;
    let unknown = if file_only { Vec::new() } else { machine::check(&config).map_err(wrong)? };
    let mut lines = Vec::new();
    put("", &value, &mut lines);
    Ok(Checked { values: lines.join("\n"), unknown })
}

/// One line for each value below `name`; none for what is not set.
fn put(name: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                let dot = if name.is_empty() { "" } else { "." };
                put(&format!("{name}{dot}{field}"), value, lines);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                put(&format!("{name}[{at}]"), item, lines);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            lines.push(format!("{name} = {value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.toml");
        std::fs::write(&file, text).unwrap();
        let named = format!("{}: ", file.display());
        let checked = check(&file, true).map(|checked| checked.values);
        checked.map_err(|error| error.strip_prefix(&named).unwrap().to_owned())
    }

    const ONE: &str = "cluster_id = \"c\"\nnode_id = 1\ndata_dir = \"data\"\n\
                       redis_addr = \"127.0.0.1:7001\"\npeer_addr = \"127.0.0.1:17001\"\n";

    #[test]
    fn the_values_that_hold_are_shown_with_their_defaults() {
        let values = checked(&format!("{ONE}timing.tick_ms = 20\n")).unwrap();
        let lines: Vec<&str> = values.lines().collect();
        for line in [
            "cluster_id = \"c\"",
            "commit = \"one-phase\"",
            "groups = 16",
            "limits.value_bytes_max = 524288",
            "timing.tick_ms = 20",
            "timing.heartbeat_ticks = 2",
        ] {
            assert!(lines.contains(&line), "{line} in {values}");
        }
        // Seven fields of the node, six times and eighteen limits are given or have defaults.
        assert_eq!(lines.len(), 7 + 6 + 18, "{values}");
    }

    #[test]
    fn the_example_is_right() {
        let values = checked(EXAMPLE).unwrap();
        assert!(values.contains("nodes[2].redis_addr = \"127.0.0.1:7003\""), "{values}");
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        let wrong = format!("{ONE}groups = 0\n");
        assert_eq!(checked(&wrong).unwrap_err(), "groups is \"0\", allowed is 1 to 16384");
        let wrong = format!("{ONE}[limits]\nclients = 3\n");
        let error = checked(&wrong).unwrap_err();
        assert!(error.contains("unknown field `clients`"), "{error}");
        assert!(error.ends_with("; did you mean `clients_max`?"), "{error}");
        let missing = check(Path::new("/nowhere/node.toml"), true).err().unwrap();
        assert!(missing.starts_with("/nowhere/node.toml: cannot read the configuration: "));
    }
}
