//! The commands of the scripts; `scripts/README.md` says what each does.

use std::str::FromStr;

use goldenscript::ArgumentConsumer;
use raft_core::{EntryHeader, FetchError, Fitness, Message, RawTiming, ReadId, Role, Timing};
use types::LogIndex;

use super::{Outcome, Stage, words};
use crate::harness::{self, Cluster, id, settings};

type Args<'a> = ArgumentConsumer<'a>;

/// Plays a command on the stage, if there is one yet; the lines of its trace.
type Act = fn(&mut Option<Stage>, &mut Args<'_>) -> Outcome<Vec<String>>;

/// Every command by its name.
pub(crate) const COMMANDS: [(&str, Act); 31] = [
    ("cluster", cluster),
    ("campaign", |stage, args| on(stage, args, campaign)),
    ("propose", |stage, args| on(stage, args, propose)),
    ("read", |stage, args| on(stage, args, read)),
    ("transfer", |stage, args| on(stage, args, transfer)),
    ("unfit", |stage, args| on(stage, args, unfit)),
    ("fit", |stage, args| on(stage, args, fit)),
    ("tick", |stage, args| on(stage, args, tick)),
    ("run", |stage, args| on(stage, args, run)),
    ("settle", |stage, args| on(stage, args, settle)),
    ("deliver", |stage, args| on(stage, args, deliver)),
    ("drop", |stage, args| on(stage, args, drop_messages)),
    ("record", |stage, args| on(stage, args, record)),
    ("append", |stage, args| on(stage, args, append)),
    ("replay", |stage, args| on(stage, args, replay)),
    ("reverse", |stage, args| on(stage, args, reverse)),
    ("hold", |stage, args| on(stage, args, hold)),
    ("release", |stage, args| on(stage, args, release)),
    ("cut", |stage, args| on(stage, args, cut)),
    ("heal", |stage, args| on(stage, args, heal)),
    ("persist", |stage, args| on(stage, args, persist)),
    ("stall", |stage, args| on(stage, args, stall)),
    ("resume", |stage, args| on(stage, args, resume)),
    ("fetch", |stage, args| on(stage, args, fetch)),
    ("unreachable", |stage, args| on(stage, args, unreachable)),
    ("crash", |stage, args| on(stage, args, crash)),
    ("restart", |stage, args| on(stage, args, restart)),
    ("status", |stage, args| on(stage, args, status)),
    ("disk", |stage, args| on(stage, args, disk)),
    ("clock", |stage, args| on(stage, args, clock)),
    ("network", |stage, args| on(stage, args, network)),
];

fn on(
    stage: &mut Option<Stage>,
    args: &mut Args<'_>,
    act: fn(&mut Stage, &mut Args<'_>) -> Outcome<()>,
) -> Outcome<Vec<String>> {
    let stage = stage.as_mut().ok_or("a script begins with `cluster`")?;
    act(stage, args)?;
    Ok(std::mem::take(&mut stage.lines))
}

/// The next argument that has no name.
fn next<T: FromStr>(args: &mut Args<'_>, what: &str) -> Outcome<T> {
    let text = args.next_pos().ok_or_else(|| format!("{what} is missing"))?;
    parse(text, what)
}

fn parse<T: FromStr>(text: &str, what: &str) -> Outcome<T> {
    text.parse().map_err(|_| format!("{text:?} is no {what}").into())
}

/// The argument called `key`, if it is there.
fn named<T: FromStr>(args: &mut Args<'_>, key: &str) -> Outcome<Option<T>> {
    args.take_key(key).map(|text| parse(text, key)).transpose()
}

/// All arguments without a name, as replicas.
fn replicas(args: &mut Args<'_>) -> Outcome<Vec<u32>> {
    std::iter::from_fn(|| args.next_pos()).map(|text| parse(text, "replica")).collect()
}

/// All arguments without a name, as replicas; every running one if there are none.
fn replicas_or_all(stage: &Stage, args: &mut Args<'_>) -> Outcome<Vec<u32>> {
    let some = replicas(args)?;
    Ok(if some.is_empty() { stage.up() } else { some })
}

/// `1-2`: the way from 1 to 2.
fn link(text: &str) -> Outcome<(u32, u32)> {
    let (from, to) = text.split_once('-').ok_or_else(|| format!("{text:?} is no link"))?;
    Ok((parse(from, "replica")?, parse(to, "replica")?))
}

fn links(args: &mut Args<'_>) -> Outcome<Vec<(u32, u32)>> {
    let links: Vec<_> = std::iter::from_fn(|| args.next_pos()).map(link).collect::<Outcome<_>>()?;
    if links.is_empty() { Err("a link is missing, like 1-2".into()) } else { Ok(links) }
}

/// Which messages a command is about: those of links, or all, and of one kind, or any.
#[derive(Default)]
pub(super) struct Choice {
    links: Vec<(u32, u32)>,
    kind: Option<String>,
}

impl Choice {
    fn parse(args: &mut Args<'_>) -> Outcome<Self> {
        let kind = named(args, "kind")?;
        let links = std::iter::from_fn(|| args.next_pos()).map(link).collect::<Outcome<_>>()?;
        Ok(Self { links, kind })
    }

    /// Whether it means `message`. One that waits on a held link has to be meant by its link.
    pub(super) fn is_about(&self, stage: &Stage, message: &Message) -> bool {
        let link = (message.from.0, message.to.0);
        let is_on_link = if self.links.is_empty() {
            !stage.held.contains(&link)
        } else {
            self.links.contains(&link)
        };
        is_on_link && self.kind.as_ref().is_none_or(|kind| words::kind(&message.body) == kind)
    }
}

fn cluster(stage: &mut Option<Stage>, args: &mut Args<'_>) -> Outcome<Vec<String>> {
    let voters: u32 = next(args, "number of voters")?;
    let learners = named(args, "learners")?.unwrap_or(0);
    let mut settings = settings();
    if let Some(timeout) = args.take_key("election") {
        let (min, max) = timeout.split_once("..").ok_or("election=MIN..MAX")?;
        let raw = RawTiming {
            election_ticks_min: parse(min, "election timeout")?,
            election_ticks_max: parse(max, "election timeout")?,
            heartbeat_ticks: settings.timing.heartbeat_ticks(),
        };
        settings.timing = Timing::new(raw)?;
    }
    let limits = &mut settings.limits;
    for (key, limit) in [
        ("append_bytes", &mut limits.append_bytes_max),
        ("inflight", &mut limits.inflight_appends_max),
        ("cache_bytes", &mut limits.log_cache_bytes_max),
    ] {
        *limit = named(args, key)?.unwrap_or(*limit);
    }
    let mut cluster = Cluster::with_settings(voters, learners, settings);
    let mut lines = vec![words::configuration(cluster.node(1).configuration())];
    if let Some(term) = named(args, "term")? {
        give_logs(&mut cluster, term, args)?;
    }
    if let Some(leader) = named(args, "leader")? {
        cluster.elect(leader);
        cluster.tick(settings.timing.heartbeat_ticks());
        let node = cluster.node(leader);
        assert!(node.role() == Role::Leader && node.is_quiet());
        let (term, committed) = (node.term(), node.commit_index());
        lines.push(format!("{leader} leads in t{term}, and all have applied {committed}"));
    }
    cluster.collect_all();
    *stage = Some(Stage::new(cluster));
    Ok(lines)
}

/// Starts every replica in `term` with the log that an argument like `log2="1 1 4*30"` gives: the
/// terms of its entries behind the first.
fn give_logs(cluster: &mut Cluster, term: u64, args: &mut Args<'_>) -> Outcome<()> {
    let ids: Vec<u32> = cluster.hosts.keys().copied().collect();
    for n in ids {
        let log = args.take_key(&format!("log{n}")).unwrap_or_default();
        cluster.crash(n);
        for part in log.split_whitespace() {
            let (term, times) = part.split_once('*').unwrap_or((part, "1"));
            let terms = vec![parse(term, "term")?; parse(times, "number of entries")?];
            cluster.host(n).disk.append_terms(&terms);
        }
        cluster.host(n).disk.hard_state.term.0 = term;
        cluster.restart(n, 0);
    }
    Ok(())
}

fn campaign(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        stage.act(n, raft_core::RaftNode::campaign);
    }
    Ok(())
}

fn transfer(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let n = next(args, "replica")?;
    let to = id(next(args, "replica that is to lead")?);
    if let Err(refused) = stage.act(n, |node| node.transfer_leader(to)) {
        stage.say(n, format!("refuses: {refused}"));
    }
    Ok(())
}

fn unfit(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        stage.act(n, |node| node.set_fitness(Fitness::Unfit));
    }
    Ok(())
}

fn fit(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        stage.act(n, |node| node.set_fitness(Fitness::Fit));
    }
    Ok(())
}

fn propose(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let n = next(args, "replica")?;
    let bytes = named(args, "bytes")?.unwrap_or(0);
    let turns = named(args, "turns")?.unwrap_or(1);
    let payloads: Vec<&str> = std::iter::from_fn(|| args.next_pos()).collect();
    for _ in 0..turns {
        let refused = stage.act(n, |node| {
            let propose = |payload: &&str| {
                let mut payload = payload.as_bytes().to_vec();
                payload.resize(bytes.max(payload.len()), b'.');
                node.propose(EntryHeader::default(), &payload).err()
            };
            payloads.iter().filter_map(propose).next()
        });
        if let Some(refused) = refused {
            stage.say(n, format!("refuses: {refused}"));
        }
    }
    Ok(())
}

fn read(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let n = next(args, "replica")?;
    let reads: Vec<u64> = std::iter::from_fn(|| args.next_pos())
        .map(|text| parse(text, "read"))
        .collect::<Outcome<_>>()?;
    let refused = stage.act(n, |node| {
        reads.into_iter().filter_map(|read| node.read_index(ReadId(read)).err()).next()
    });
    if let Some(refused) = refused {
        stage.say(n, format!("refuses: {refused}"));
    }
    Ok(())
}

fn tick(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let ticks: u64 = next(args, "number of ticks")?;
    let replicas = replicas_or_all(stage, args)?;
    (0..ticks).for_each(|_| stage.tick(&replicas));
    Ok(())
}

fn run(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let ticks: u64 = next(args, "number of ticks")?;
    stage.shows_beats = false;
    for _ in 0..ticks {
        stage.tick(&stage.ids());
        stage.settle();
    }
    stage.shows_beats = true;
    Ok(())
}

fn settle(stage: &mut Stage, _: &mut Args<'_>) -> Outcome<()> {
    stage.settle();
    Ok(())
}

fn deliver(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let count = named(args, "count")?.unwrap_or(usize::MAX);
    let choice = Choice::parse(args)?;
    let mut chosen = stage.take_messages(&choice);
    let rest = chosen.split_off(count.min(chosen.len()));
    rest.into_iter().rev().for_each(|message| stage.cluster.network.push_front(message));
    if chosen.is_empty() {
        return Err("there is no such message".into());
    }
    for message in chosen {
        let shown = words::message(&message);
        if !stage.deliver(message) {
            stage.lines.push(format!("lost: {shown}"));
        }
    }
    Ok(())
}

fn drop_messages(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let choice = Choice::parse(args)?;
    let dropped = stage.take_messages(&choice);
    if dropped.is_empty() {
        return Err("there is no such message".into());
    }
    stage.lines.extend(dropped.iter().map(|message| format!("lost: {}", words::message(message))));
    Ok(())
}

fn record(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let name: String = next(args, "name")?;
    let choice = Choice::parse(args)?;
    let copies: Vec<Message> =
        stage.cluster.network.iter().filter(|m| choice.is_about(stage, m)).cloned().collect();
    if copies.is_empty() {
        return Err("there is no such message".into());
    }
    stage.recorded.insert(name, copies);
    Ok(())
}

fn replay(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let name: String = next(args, "name")?;
    let copies = stage.recorded.get(&name).cloned();
    for message in copies.ok_or_else(|| format!("nothing was recorded as {name}"))? {
        stage.lines.push(format!("again: {}", words::message(&message)));
        stage.deliver(message);
    }
    Ok(())
}

/// An append made by hand, for leaders of whom a script tells no more.
fn append(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let (from, to) = link(args.next_pos().ok_or("a link is missing, like 1-2")?)?;
    let term = named(args, "term")?.ok_or("term=T is missing")?;
    let commit = named(args, "commit")?.ok_or("commit=INDEX is missing")?;
    let after = args.take_key("after").ok_or("after=INDEX@TERM is missing")?;
    let after: (u64, u64) = pair(after)?;
    let mut runs = Vec::new();
    while let Some(entry) = args.next_pos() {
        let (payload, term): (String, u64) = pair(entry)?;
        let index = after.0 + 1 + runs.len() as u64;
        runs.push(harness::run(index, term, &[payload.as_bytes()]));
    }
    let message = harness::message(from, to, term, harness::append(after, commit, runs));
    stage.lines.push(words::message(&message));
    stage.deliver(message);
    Ok(())
}

/// `a@b`
fn pair<T: FromStr>(text: &str) -> Outcome<(T, u64)> {
    let (left, term) = text.split_once('@').ok_or_else(|| format!("{text:?} has no @TERM"))?;
    Ok((parse(left, "left of @")?, parse(term, "term")?))
}

fn reverse(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let choice = Choice::parse(args)?;
    let mut messages = stage.take_messages(&choice);
    messages.reverse();
    stage.cluster.network.extend(messages);
    Ok(())
}

fn hold(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    stage.held.extend(links(args)?);
    Ok(())
}

fn release(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for link in links(args)? {
        if !stage.held.remove(&link) {
            return Err(format!("{}-{} was not held", link.0, link.1).into());
        }
    }
    Ok(())
}

fn cut(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for text in std::iter::from_fn(|| args.next_pos()) {
        if text.contains('-') {
            stage.cluster.cut.push(link(text)?);
        } else {
            stage.cluster.isolate(parse(text, "replica or link")?);
        }
    }
    Ok(())
}

fn heal(stage: &mut Stage, _: &mut Args<'_>) -> Outcome<()> {
    stage.cluster.heal();
    Ok(())
}

fn persist(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let n = next(args, "replica")?;
    let count: u32 = named(args, "count")?.unwrap_or(1);
    for _ in 0..count {
        let ticket = stage.cluster.host(n).writes.front().map(|write| write.ticket.0);
        let ticket = ticket.ok_or_else(|| format!("{n} has nothing to write"))?;
        stage.say(n, format!("has #{ticket} on disk"));
        stage.persist_one(n);
    }
    Ok(())
}

fn stall(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        stage.cluster.host(n).holds_writes = true;
    }
    Ok(())
}

fn resume(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        stage.cluster.host(n).holds_writes = false;
    }
    Ok(())
}

fn fetch(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let n = next(args, "replica")?;
    let error = match args.next_pos() {
        None => {
            return if stage.answer_fetch(n) { Ok(()) } else { Err("nothing is fetched".into()) };
        }
        Some("damaged") => FetchError::Damaged,
        Some("compacted") => {
            let first = next(args, "first index still there")?;
            FetchError::Compacted { first: LogIndex(first) }
        }
        Some(other) => return Err(format!("{other:?} is neither damaged nor compacted").into()),
    };
    let fetch = stage.cluster.host(n).fetches.pop_front().ok_or("nothing is fetched")?;
    stage.act(n, |node| node.entries_fetched(fetch.purpose, Err(error)));
    if stage.cluster.node(n).halted().is_some() {
        stage.say(n, "halts");
    }
    Ok(())
}

fn unreachable(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let n = next(args, "replica")?;
    for peer in replicas(args)? {
        stage.act(n, |node| node.report_unreachable(id(peer)));
    }
    Ok(())
}

fn crash(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        let lost: Vec<String> = stage
            .cluster
            .host(n)
            .writes
            .iter()
            .map(|write| format!("#{}", write.ticket.0))
            .collect();
        stage.cluster.crash(n);
        let loses =
            if lost.is_empty() { String::new() } else { format!(" and loses {}", lost.join(" ")) };
        stage.say(n, format!("crashes{loses}"));
    }
    Ok(())
}

fn restart(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    let wait = named(args, "wait")?.unwrap_or(0);
    let applied = LogIndex(named(args, "applied")?.unwrap_or(0));
    for n in replicas(args)? {
        let now = stage.clocks[&n];
        stage.cluster.restart_at(n, now, wait, applied);
        let disk = &stage.cluster.host(n).disk;
        let (state, last) = (words::hard_state(disk.hard_state), disk.ids().pop());
        let last = last.map_or("nothing".into(), words::id);
        stage.say(n, format!("starts with {state}; log ends at {last}, applied {applied}"));
        stage.act(n, |_| ());
    }
    Ok(())
}

fn status(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas_or_all(stage, args)? {
        let status = stage.cluster.node(n).status();
        stage.lines.push(words::status(&status));
    }
    Ok(())
}

fn disk(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas(args)? {
        let disk = &stage.cluster.host(n).disk;
        let text =
            format!("{}; {}", words::hard_state(disk.hard_state), words::entries(&disk.entries));
        stage.say(n, format!("has {text}"));
    }
    Ok(())
}

fn clock(stage: &mut Stage, args: &mut Args<'_>) -> Outcome<()> {
    for n in replicas_or_all(stage, args)? {
        let now = stage.clocks[&n];
        let due = stage.cluster.node(n).deadline();
        let due = due.map_or("never".into(), |due| format!("at tick {due}"));
        stage.say(n, format!("is at tick {now} and acts {due}"));
    }
    Ok(())
}

fn network(stage: &mut Stage, _: &mut Args<'_>) -> Outcome<()> {
    let lines: Vec<String> = stage.cluster.network.iter().map(words::message).collect();
    stage.lines.extend(lines);
    Ok(())
}
