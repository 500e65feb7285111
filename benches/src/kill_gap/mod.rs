//! `kill-gap`: for how long nobody's writes are acknowledged when a leader is killed.
//!
//! Three `multiraft serve` processes, each with a folder, an address and synced writes of its own.
//! Clients write to all groups all the time, one command after the other; each follows redirects, and
//! goes to the next node when it loses its connection, as client libraries do. The node that leads
//! most groups gets SIGKILL. A gap is the longest time between two acknowledged writes of a group
//! that the killed node led, as its clients saw it, from just before the kill until all groups go on.
//! Then the node is started again, and after a pause, as long as no node missed anything, comes the
//! next kill.
//!
//! Beside each gap stands the longest one of the same groups in the pause before the kill, when nothing
//! happened: what the machine's disk and scheduler add. Counting rule: in the end every key must hold
//! the last value of it that was acknowledged, or a later one; else the figure is void.

mod ticker;
mod writer;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::arguments::Options;
use crate::disk::{Scratch, refuse_memory};
use crate::figure::{Emit, Wrong};
use crate::nodes::{self, Nodes, program};
use crate::report::{Line, Samples};
use ticker::{Acknowledged, Ticker};
use writer::Writers;

/// The fewest kills that a median is taken of.
const KILLS_MIN: usize = 15;
/// How long nothing happens before a kill.
const PAUSE: Duration = Duration::from_secs(2);
/// How long clients are watched after all groups have gone on.
const AFTER: Duration = Duration::from_millis(500);
/// How long anything may take before the figure is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which gap is told of the groups that a killed node led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gap {
    /// Of each.
    EachGroup,
    /// Of the one that had the longest.
    WorstGroup,
    /// Between acknowledged writes of whatever groups, others too.
    AnyWrite,
}

impl Gap {
    const fn name(self) -> &'static str {
        match self {
            Self::EachGroup => "each-group",
            Self::WorstGroup => "worst-group",
            Self::AnyWrite => "any-write",
        }
    }
}

/// How many groups there are, and what is told of them; the cases never change their meaning. Of one
/// group, all gaps are the same.
const CASES: [(u32, &[Gap]); 2] =
    [(16, &[Gap::WorstGroup, Gap::EachGroup, Gap::AnyWrite]), (1, &[Gap::WorstGroup])];

fn case_name(groups: u32, gap: Gap) -> String {
    format!("groups={groups} gap={}", gap.name())
}

/// Measures every case asked for.
pub(crate) fn measure(options: &Options, emit: &mut Emit<'_>) -> Result<(), Wrong> {
    refuse_memory(&options.dir)?;
    let program = program()?;
    for (groups, gaps) in CASES {
        let is_asked = |gap: &Gap| case_name(groups, *gap).contains(&options.case);
        let gaps: Vec<Gap> = gaps.iter().copied().filter(is_asked).collect();
        if gaps.is_empty() {
            continue;
        }
        let kills = options.runs.max(KILLS_MIN);
        let found = kill_again_and_again(&program, groups, kills, &options.dir)?;
        gaps.into_iter().for_each(|gap| emit(line(groups, gap, &found, &options.dir)));
    }
    Ok(())
}

/// What one kill came to, in milliseconds.
#[derive(Debug)]
struct Kill {
    /// Of each group that the node led: with the kill, and in the pause before.
    groups: Vec<(f64, f64)>,
    /// Over all groups.
    any: (f64, f64),
}

fn line(groups: u32, gap: Gap, kills: &[Kill], dir: &Path) -> Line {
    let (mut samples, mut quiet, mut led) =
        (Samples::default(), Samples::default(), Samples::default());
    for kill in kills {
        let found = match gap {
            Gap::EachGroup => kill.groups.clone(),
            Gap::WorstGroup => vec![kill.groups.iter().fold((0.0, 0.0), longest)],
            Gap::AnyWrite => vec![kill.any],
        };
        for (with_kill, without) in found {
            samples.push(with_kill);
            quiet.push(without);
        }
        #[expect(clippy::cast_precision_loss, reason = "a node leads a handful of groups")]
        led.push(kill.groups.len() as f64);
    }
    let p90 = samples.percentile(90);
    let mut nine_in_ten = Samples::default();
    p90.into_iter().for_each(|value| nine_in_ten.push(value));
    Line {
        figure: "kill-gap",
        case: case_name(groups, gap),
        unit: "ms",
        samples,
        details: vec![("p90_ms", nine_in_ten), ("no_kill_ms", quiet), ("groups_led", led)],
        peer: None,
        settings: format!(
            "3 processes, synced writes in {}; {} kills of the node that leads most groups; {} \
             clients per group; pause {PAUSE:?}; {}",
            dir.display(),
            kills.len(),
            writer::CLIENTS_PER_GROUP,
            nodes::TIMING
        ),
    }
}

fn longest(one: (f64, f64), other: &(f64, f64)) -> (f64, f64) {
    (one.0.max(other.0), one.1.max(other.1))
}

fn kill_again_and_again(
    program: &Path,
    groups: u32,
    kills: usize,
    dir: &Path,
) -> Result<Vec<Kill>, Wrong> {
    let scratch = Scratch::new(dir)?;
    let mut nodes = Nodes::start(program, &scratch.path("nodes"), groups)?;
    let ticker = Ticker::new(groups);
    let writers = Writers::new(groups, nodes.addresses())?;
    let found = std::thread::scope(|scope| {
        let _ends = ticker.ends();
        writers.spawn(scope, &ticker);
        ticker.wait_for_all(Instant::now(), PATIENCE)?;
        (0..kills).map(|_| kill_once(&mut nodes, &ticker)).collect::<Result<Vec<Kill>, Wrong>>()
    })?;
    writers.verify()?;
    Ok(found)
}

fn kill_once(nodes: &mut Nodes, ticker: &Ticker) -> Result<Kill, Wrong> {
    ticker.forget();
    let begin = Instant::now();
    std::thread::sleep(PAUSE);
    let leaders = ticker.leaders();
    let node = busiest(&leaders);
    let killed = Instant::now();
    nodes.kill(node)?;
    ticker.wait_for_all(Instant::now(), PATIENCE)?;
    std::thread::sleep(AFTER);
    let end = Instant::now();
    nodes.restart(node)?;
    nodes.wait_until_serving(node)?;
    ticker.wait_for_all(Instant::now(), PATIENCE)?;
    let gap = |acknowledged: &[Instant]| {
        let quiet = longest_gap(acknowledged, begin, killed);
        (longest_gap(acknowledged, killed, end), quiet)
    };
    let Acknowledged { by_group, all } = ticker.acknowledged();
    let led = leaders.iter().zip(&by_group).filter(|(leader, _)| **leader == Some(node));
    Ok(Kill { groups: led.map(|(_, group)| gap(group)).collect(), any: gap(&all) })
}

/// The node that leads most groups.
fn busiest(leaders: &[Option<usize>]) -> usize {
    let led = |node: usize| leaders.iter().filter(|leader| **leader == Some(node)).count();
    (0..nodes::NODES).max_by_key(|node| led(*node)).unwrap_or_default()
}

/// The longest time between neighbours, in milliseconds, of which the later one lies within; the
/// moments are sorted.
fn longest_gap(moments: &[Instant], from: Instant, to: Instant) -> f64 {
    let pairs = moments.windows(2).filter(|two| from < two[1] && two[1] <= to);
    pairs.map(|two| (two[1] - two[0]).as_secs_f64() * 1e3).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_within_its_time() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let moments = [at(0), at(50), at(60), at(100), at(190)];
        let gap = |from, to| longest_gap(&moments, at(from), at(to)).round();
        assert_eq!((gap(0, 200), gap(55, 150), gap(55, 70)), (90.0, 40.0, 10.0));
        assert_eq!(gap(101, 150), 0.0);
    }

    #[test]
    fn the_node_that_leads_most_groups_is_killed() {
        assert_eq!(busiest(&[Some(0), Some(2), Some(2), None, Some(1)]), 2);
    }

    #[test]
    fn case_names_never_change() {
        let names = |(groups, gaps): (u32, &'static [Gap])| {
            gaps.iter().map(move |gap| case_name(groups, *gap))
        };
        let names: Vec<String> = CASES.into_iter().flat_map(names).collect();
        let expected = [
            "groups=16 gap=worst-group",
            "groups=16 gap=each-group",
            "groups=16 gap=any-write",
            "groups=1 gap=worst-group",
        ];
        assert_eq!(names, expected);
    }
}
