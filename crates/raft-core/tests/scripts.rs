//! Stories of the engine, each a script below `scripts/`: commands, and behind each block the exact
//! trace of what the replicas do. `scripts/README.md` says how to read and write them.
//!
//! `UPDATE_GOLDENFILES=1 cargo test -p raft-core --test scripts` writes the traces anew; their
//! difference is then to be reviewed like code.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails loudly, and asks only about the messages it means"
)]

mod harness;
mod stage;

use std::collections::BTreeSet;
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use goldenscript::{Command, Context, Runner};
use stage::{COMMANDS, Play};

/// Declares a test for each script, and the list of all, against which the folder is held.
macro_rules! stories {
    ($($name:ident)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            play(stringify!($name));
        })*
    };
}

stories! {
    a_chain_keeps_its_leader
    a_constrained_election_is_won_by_the_hub
    a_damaged_log_halts_its_replica
    a_hub_is_elected_where_only_it_has_a_quorum
    a_lagging_replica_is_served_from_disk
    a_leader_hands_over
    a_leader_is_elected
    a_leader_without_a_quorum_steps_down
    a_newer_term_deposes_a_leader
    a_read_is_answered_after_a_round
    a_restart_delivers_nothing_below_the_applied_floor
    a_restart_gives_no_second_vote
    a_restart_keeps_term_vote_and_log
    a_single_voter_elects_itself
    a_split_vote_is_settled_in_the_next_term
    a_throttled_follower_is_probed_after_it_lost_its_stream
    an_unfit_leader_steps_down
    an_unreachable_replica_is_not_flooded
    appends_follow_each_other_without_waiting
    bug_001_no_vote_leaves_before_it_is_durable
    bug_002_a_candidate_asks_once_its_own_vote_is_durable
    bug_003_a_deposed_candidate_gives_no_second_vote
    bug_005_an_old_entry_on_a_majority_is_not_committed
    bug_006_half_of_an_even_group_is_no_majority
    bug_007_acknowledgements_in_any_order
    bug_009_a_granted_pre_vote_puts_no_election_off
    bug_010_a_replica_of_a_later_term_gets_back_in
    bug_011_two_of_three_elect_after_their_leader_died
    bug_013_a_leader_that_restarts_quickly_is_no_hindrance
    bug_015_a_returning_replica_deposes_nobody
    bug_016_a_learner_never_campaigns
    bug_017_learners_are_in_no_quorum
    bug_020_a_follower_with_a_slow_disk_hears_its_leader
    bug_022_a_candidate_keeps_its_term_when_an_old_leader_speaks
    bug_039_a_stale_order_starts_no_election
    bug_044_a_late_completion_of_an_overwritten_tail
    bug_045_a_flush_that_ends_after_a_truncation
    bug_047_a_leader_does_not_count_its_own_disk_before_it_is_done
    bug_048_an_acknowledgement_leaves_after_the_sync
    bug_049_a_late_append_truncates_nothing
    bug_052_a_hundred_divergent_entries_cost_few_refusals
    bug_053_acknowledgements_of_an_earlier_term_move_nothing
    bug_066_the_commit_index_never_falls
    bug_078_no_read_before_an_entry_of_the_own_term
    bug_079_a_late_answer_confirms_no_retried_read
    bug_081_a_read_does_not_outlive_its_leadership
    bug_082_a_restarted_voter_keeps_its_old_promises
    conflicting_tails_are_replaced
    lost_appends_are_sent_again
    nobody_wins_where_the_hub_misses_what_is_committed
    overlapping_appends_write_only_what_is_new
    proposals_of_a_turn_travel_as_one
    the_window_fills_and_opens_again
    what_was_compacted_leaves_a_replica_behind
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}

/// Keeps tests from reading a script while another one writes it anew.
static FILES: Mutex<()> = Mutex::new(());

fn files() -> MutexGuard<'static, ()> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[track_caller]
fn play(name: &str) {
    let _files = files();
    let path = folder().join(format!("{name}.script"));
    goldenscript::run(&mut Play::default(), path).unwrap_or_else(|error| panic!("{error}"));
}

/// The scripts in the folder, by name, with what is in them.
fn scripts() -> Vec<(String, String)> {
    let _files = files();
    let paths = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let scripts = paths.filter(|path| path.extension().is_some_and(|end| end == "script"));
    let named = scripts.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    named.collect()
}

/// Notes the names of the commands of a script without playing it.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Runner for Names {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Result<String, Box<dyn Error>> {
        self.0.insert(command.name.clone());
        Ok(String::new())
    }
}

#[test]
fn every_script_is_run_by_a_test() {
    let found: BTreeSet<String> = scripts().into_iter().map(|(name, _)| name).collect();
    let run: BTreeSet<String> = STORIES.iter().map(|name| (*name).to_owned()).collect();
    let odd: Vec<&String> = found.symmetric_difference(&run).collect();
    assert!(odd.is_empty(), "in tests/scripts or in `stories!` of scripts.rs, not both: {odd:?}");
}

#[test]
fn every_script_begins_with_what_it_is_about() {
    for (name, text) in scripts() {
        assert!(text.starts_with("# "), "{name}.script begins with no comment");
    }
}

#[test]
fn every_command_is_used_and_explained() {
    let mut used = Names::default();
    for (_, text) in scripts() {
        goldenscript::generate(&mut used, &text).unwrap();
    }
    let known: BTreeSet<String> = COMMANDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let odd: Vec<&String> = used.0.symmetric_difference(&known).collect();
    assert!(odd.is_empty(), "in scripts or in stage/commands.rs, not both: {odd:?}");
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for name in known {
        assert!(readme.contains(&format!("`{name}")), "scripts/README.md says nothing of {name}");
    }
}
