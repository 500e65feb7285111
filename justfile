# Short names; everything here is a cargo command that can be typed instead.

# What has to hold for every commit.
check:
    .ci/run

# Licences, advisories, duplicates and bans of dependencies; needs cargo-deny.
deny:
    cargo deny check

# All tests, or those of one crate: `just test -p routing`.
test *ARGS:
    cargo test --locked {{ if ARGS == "" { "--workspace" } else { ARGS } }}

# Writes the traces of raft-core's stories anew, to be reviewed in the difference.
scripts:
    UPDATE_GOLDENFILES=1 cargo test --locked -p raft-core --test scripts

# Three nodes in one process.
demo *ARGS:
    cargo run --release --locked -- demo {{ ARGS }}

# Runs whole clusters under faults, one per seed.
sim seeds="1000":
    cargo run --release -p sim -- --seeds {{seeds}}

# Shows after how many seeds planted bugs are caught: all of them, or those whose names begin so.
mutants *NAMES:
    cargo run --release -p sim -- mutants {{NAMES}}

# Feeds one parser (tests/src/parsers.rs lists them) for so many seconds; needs a nightly compiler
# and cargo-fuzz.
fuzz target seconds="60":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}
