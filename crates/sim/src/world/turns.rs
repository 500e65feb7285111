//! A node's turn: events become inputs, and what the node wants done is carried out and checked.

use codec::{FrameLimits, Item, Notice, WriteBatch, decode_frame, encode_notice};
use multiraft::{ApplyBatch, BatchTicket, Input, Turn};
use raft_core::{EntryRun, Fetch, FetchError, FetchFor, HaltReason, Replica, Role};
use types::{GroupId, LogIndex, NodeId, Term, Tick};

use super::World;
use crate::breach::{Held, breach};
use crate::check::elections::Elections;
use crate::check::{applies, bounds, durables};
use crate::class::Class;
use crate::disk::{DiskFault, Refused};
use crate::effect::Effect;
use crate::queue::{Boot, Event, Packet};
use crate::real::Ending;
use crate::stamps::{Stamp, stamp_after};

/// After how many ticks at once one speaks of a burst.
const TICKS_AT_ONCE: u64 = 10;

impl World<'_> {
    pub(super) fn handle(&mut self, event: Event) -> Held {
        let Some(event) = self.admit(event) else { return Ok(()) };
        match event {
            Event::Start { node } => self.start(node),
            Event::Resume { node, boot } => self.resume(node, boot),
            Event::Meet { node, peer, .. } => self.meet(node, peer),
            Event::Client => self.client(),
            Event::Want(wish) => {
                self.want(wish);
                Ok(())
            }
            Event::Cancel { attempt } => {
                self.cancel(attempt);
                Ok(())
            }
            Event::Fall { node, .. } => {
                self.fall(node);
                Ok(())
            }
            Event::Strike(class) => self.strike(class),
            Event::Relief(relief) => {
                self.relieve(relief);
                Ok(())
            }
            Event::Tick { node, .. }
            | Event::Deliver(Packet { to: node, .. })
            | Event::Dropped { node, .. }
            | Event::Synced { node, .. }
            | Event::Applied { node, .. }
            | Event::Fetched { node, .. }
            | Event::Order { node, .. }
            | Event::Fitness { node, .. }
            | Event::Look { node, .. }
            | Event::Ask { node, .. } => {
                self.take(event)?;
                self.turn(node)
            }
        }
    }

    /// Lets an event happen unless it belongs to an earlier start of its node, or its node is down or
    /// stands still.
    fn admit(&mut self, event: Event) -> Option<Event> {
        let Some((node, boot)) = event.host() else { return Some(event) };
        let now = self.queue.now();
        let host = self.node(node);
        if host.running.is_none() || boot.is_some_and(|boot| boot != host.boot) {
            self.lose(event);
            return None;
        }
        if host.stopped_until > now {
            host.put_off.push(event);
            return None;
        }
        Some(event)
    }

    /// An event that nobody is there for.
    pub(super) fn lose(&mut self, event: Event) {
        match event {
            Event::Deliver(packet) => {
                self.network.arrive(&packet, &mut self.coverage);
            }
            Event::Ask { attempt, .. } => self.unreached(attempt),
            Event::Fetched { .. } => self.count(Effect::FetchesStale),
            Event::Tick { .. }
            | Event::Dropped { .. }
            | Event::Meet { .. }
            | Event::Synced { .. }
            | Event::Applied { .. }
            | Event::Order { .. }
            | Event::Fitness { .. }
            | Event::Look { .. }
            | Event::Start { .. }
            | Event::Resume { .. }
            | Event::Client
            | Event::Want(_)
            | Event::Cancel { .. }
            | Event::Fall { .. }
            | Event::Strike(_)
            | Event::Relief(_) => {}
        }
    }

    /// Makes an event the inputs of its node's next turn.
    pub(super) fn take(&mut self, event: Event) -> Held {
        match event {
            Event::Tick { node, boot } => {
                self.tick(node, boot);
                Ok(())
            }
            Event::Deliver(packet) => {
                self.deliver(&packet);
                Ok(())
            }
            Event::Dropped { to, frame, .. } => {
                let messages = decode_frame(&frame, &FrameLimits::default()).unwrap_or_default();
                self.touched.extend(messages.iter().map(|envelope| envelope.group));
                self.inputs.push(Input::Dropped { to: NodeId(to), messages });
                Ok(())
            }
            Event::Synced { node, .. } => self.synced(node),
            Event::Applied { node, group, .. } => self.applied(node, group),
            Event::Fetched { node, group, fetch, .. } => self.fetched(node, group, &fetch),
            Event::Fitness { node, fitness, .. } => {
                self.fitness(node, fitness);
                Ok(())
            }
            Event::Look { node, number, .. } => self.look_at_disk(node, number),
            Event::Ask { node, attempt } => {
                self.ask(node, attempt);
                Ok(())
            }
            Event::Order { node, group, to } => {
                self.order(node, group, to);
                Ok(())
            }
            Event::Meet { .. }
            | Event::Start { .. }
            | Event::Resume { .. }
            | Event::Client
            | Event::Want(_)
            | Event::Cancel { .. }
            | Event::Fall { .. }
            | Event::Strike(_)
            | Event::Relief(_) => Ok(()),
        }
    }

    fn tick(&mut self, node: u64, boot: Boot) {
        let jitter = if self.is_calm { 0 } else { self.random.below(4_000) };
        let host = self.node(node);
        let clock = &mut host.clock;
        clock.ticks += 1;
        let tick_us = clock.tick_us - 2_000 + jitter;
        let tick_us = if jitter == 0 { clock.tick_us } else { tick_us };
        if !clock.is_starved {
            self.tell_time(node);
        }
        self.plan_event(tick_us, Event::Tick { node, boot });
    }

    /// Tells a node what its clock shows.
    pub(super) fn tell_time(&mut self, node: u64) {
        let clock = &mut self.node(node).clock;
        let (ticks, told) = (clock.ticks, clock.told);
        clock.told = told.max(ticks);
        self.inputs.push(Input::Tick(Tick(ticks)));
        if ticks <= told {
            self.count(Effect::TicksIgnored);
        } else if ticks >= told + TICKS_AT_ONCE {
            self.count(Effect::TicksAtOnce);
        }
    }

    fn synced(&mut self, node: u64) -> Held {
        let host = self.node(node);
        match host.disk.fault.take() {
            Some(DiskFault::Sync) => return self.failed_write(node, true),
            Some(DiskFault::Write) => return self.failed_write(node, false),
            read @ (Some(DiskFault::Read) | None) => host.disk.fault = read,
        }
        let place = usize::try_from(node - 1).expect("a node of the plan");
        let (inputs, touched) = (&mut self.inputs, &mut self.touched);
        let disk = &mut self.nodes[place].disk;
        let mut writes = 0;
        let waited = disk.found.is_waiting;
        let result = disk.synced(|ticket, batch| {
            writes += 1;
            inputs.push(Input::Persisted(ticket));
            touched.extend(batch.items.iter().map(|item| item.group));
        });
        match result {
            Ok(()) => {}
            Err(Refused::Full) => return self.found_no_room(node),
            Err(Refused::Broken(what)) => return self.cannot_write(node, &what),
        }
        if writes > 1 {
            self.coverage.count(Effect::CommitRuns);
        }
        if waited {
            self.count(Effect::RoomAgain);
        }
        if self.node(node).disk.begin() {
            self.plan_sync(node);
        }
        self.tell_room(node);
        Ok(())
    }

    /// A disk refuses what there is room for: right if it was damaged.
    pub(super) fn cannot_write(&mut self, node: u64, what: &str) -> Held {
        if !self.node(node).is_damaged {
            return breach("a whole disk can be written", format!("node {node}: {what}"));
        }
        self.count(Effect::DamageHalts);
        self.node(node).is_halted = true;
        self.end(node, Ending::Kill, 0);
        Ok(())
    }

    /// The sync under way fails, and the node with it.
    fn failed_write(&mut self, node: u64, is_sync: bool) -> Held {
        self.count(if is_sync { Effect::SyncErrors } else { Effect::WriteErrors });
        if let Some(real) = &mut self.node(node).disk.real {
            real.fail(is_sync);
        }
        self.fail(node, is_sync);
        Ok(())
    }

    /// Plans the end of the sync that a disk begins now.
    pub(super) fn plan_sync(&mut self, node: u64) {
        let is_prompt = self.plan.prompt_disks.contains(node);
        let latency = if is_prompt { 20 } else { self.random.within(100, 3_000) };
        let now = self.queue.now();
        let host = self.node(node);
        let until = (now + latency).max(host.disk.stalled_until);
        let boot = host.boot;
        if until - now >= 1_000_000 {
            self.count(Effect::Stalls);
        }
        self.plan_event(until - now, Event::Synced { node, boot });
    }

    fn applied(&mut self, node: u64, group: GroupId) -> Held {
        let place = usize::try_from(node - 1).expect("a node of the plan");
        let shard = self.nodes[place].shard(group);
        let Some(ApplyBatch { runs, waiting, .. }) = shard.applying.pop_front() else {
            return Ok(());
        };
        let machine = &mut shard.machine;
        let writes = &mut self.checks.writes;
        let mut twice = Ok(());
        for run in &runs {
            applies::check_order(node, group, machine, run)?;
            machine.apply(run, |command, index| {
                if twice.is_ok() {
                    twice = writes.applied(command.operation, group, index);
                }
            });
            applies::check_equal(node, group, machine, &self.checks.commits)?;
        }
        twice?;
        let index = machine.applied;
        if self.plan.durable_machines.contains(node) && index.0.is_multiple_of(8) {
            shard.saved = Some(shard.machine.clone());
        }
        for (index, attempt) in waiting {
            self.written(attempt, group, index)?;
        }
        self.touched.push(group);
        self.inputs.push(Input::Applied { group, index });
        Ok(())
    }

    fn fetched(&mut self, node: u64, group: GroupId, fetch: &Fetch) -> Held {
        let Fetch { purpose, first, .. } = *fetch;
        let disk = &mut self.node(node).disk;
        if disk.fault == Some(DiskFault::Read) {
            disk.fault = None;
            self.count(Effect::ReadErrors);
            self.fail(node, true);
            return Ok(());
        }
        let mut result = disk.read(group, fetch);
        self.check_read(node, group, first, &result)?;
        self.count(match purpose {
            FetchFor::Apply => Effect::FetchesForApply,
            FetchFor::Replica(_) => Effect::FetchesForPeers,
        });
        // A log that is compacted meanwhile: the state machine asks again.
        let is_gone = result.as_ref().is_ok_and(Vec::is_empty)
            || purpose == FetchFor::Apply && self.has(Class::ReadError) && self.random.one_in(16);
        if is_gone {
            result = Err(FetchError::Compacted { first });
        }
        self.touched.push(group);
        self.node(node).has_met_damage |= result == Err(FetchError::Damaged);
        self.inputs.push(Input::Fetched { group, purpose, result });
        Ok(())
    }

    /// What is read is what was written; only a damaged disk may refuse, and entries that were
    /// replaced meanwhile, be it by committed ones that are still written, are not there.
    fn check_read(
        &self,
        node: u64,
        group: GroupId,
        first: LogIndex,
        result: &Result<Vec<EntryRun>, FetchError>,
    ) -> Held {
        let host = self.node_ref(node);
        let on_disk = host.disk.image.group(group);
        let is_right = match result {
            Ok(runs) if runs.is_empty() => first > self.checks.cursors.readable(node, group),
            Ok(runs) => on_disk.is_some_and(|on_disk| {
                let stamp = on_disk.stamps.at(first.prev()).unwrap_or(Stamp::START);
                let last = runs.last().map_or(first, EntryRun::last);
                on_disk.stamps.at(last) == Some(runs.iter().fold(stamp, stamp_after))
            }),
            Err(_) => host.is_damaged,
        };
        if is_right {
            return Ok(());
        }
        let what = format!("node {node}, group {group}, from {first}: {result:?}");
        breach("what is read is what was written", what)
    }

    /// Gives a node all that was taken, and carries out what it wants.
    pub(super) fn turn(&mut self, node: u64) -> Held {
        self.take_room(node);
        let mut inputs = std::mem::take(&mut self.inputs);
        self.is_freed = inputs.iter().any(|input| matches!(input, Input::Persisted(_)));
        let mut rest = inputs.drain(..);
        while let Some(running) = &mut self.node(node).running {
            let before = running.multi().counters().founded_on_hearing;
            let turn = running.turn(&mut rest);
            let heard = running.multi().counters().founded_on_hearing - before;
            self.coverage.add(Effect::FoundedOnHearing, heard);
            self.carry_out(node, turn)?;
            if rest.len() == 0 {
                break;
            }
        }
        drop(rest);
        self.inputs = inputs;
        self.touched.clear();
        for (group, term, until) in self.heard.drain(..) {
            // Leaders of other terms are not heard.
            if self.checks.cursors.term(node, group) == term {
                self.checks.bonds.hear(node, group, until);
            }
        }
        let now = self.queue.now();
        let host = self.node(node);
        if host.has_met_damage && !host.is_halted {
            let what = format!("node {node} goes on");
            return breach("whoever meets damage takes part in nothing more", what);
        }
        host.jumped = false;
        if host.turn_us > 0 && host.running.is_some() {
            host.stopped_until = now + host.turn_us;
            let (after, boot) = (host.turn_us, host.boot);
            self.count(Effect::SlowTurns);
            self.plan_event(after, Event::Resume { node, boot });
        }
        Ok(())
    }

    pub(super) fn carry_out(&mut self, node: u64, turn: Turn<u64>) -> Held {
        if let Some((_, batch)) = &turn.write {
            self.check_write(node, batch)?;
        }
        self.touched.extend(turn.apply.iter().map(|batch| batch.group));
        self.touched.extend(turn.roles.iter().map(|(group, _)| *group));
        self.look(node, &turn.halted)?;
        for (group, change) in &turn.roles {
            self.role_changed(node, *group, change)?;
        }
        let is_halted = !turn.halted.is_empty();
        if is_halted && !self.node(node).is_damaged {
            let what = format!("node {node}, groups {:?}", turn.halted);
            return breach("a log that is whole can be read", what);
        }
        for frame in turn.frames {
            self.send(node, frame)?;
        }
        for (to, notice) in turn.stores {
            self.send_notice(node, to.0, encode_notice(&Notice::Stores(notice)));
        }
        if let Some((ticket, batch)) = turn.write {
            self.write(node, ticket, batch);
        }
        for batch in turn.apply {
            self.apply(node, batch)?;
        }
        for (attempt, answer) in turn.answers {
            self.answered(node, attempt, answer)?;
        }
        for (group, fetch) in turn.fetches {
            let after = self.read_latency(node);
            let boot = self.node(node).boot;
            let fetch = Box::new(fetch);
            self.plan_event(after, Event::Fetched { node, boot, group, fetch });
        }
        if is_halted {
            self.count(Effect::DamageHalts);
            self.node(node).is_halted = true;
            self.end(node, Ending::Kill, 0);
        }
        Ok(())
    }

    /// What a node wants written, looked at before anybody can act on it.
    fn check_write(&mut self, node: u64, batch: &WriteBatch) -> Held {
        for change in &batch.items {
            let group = change.group;
            self.touched.push(group);
            let Item::Append(run) = &change.item else { continue };
            let committed = self.checks.cursors.committed(node, group);
            applies::check_kept(node, group, run, committed)?;
            let discarded = self.checks.logs.append(node, group, run)?;
            if discarded > 0 {
                self.coverage.add(Effect::Conflicts, discarded);
                let durable = self.node_ref(node).disk.image.group(group);
                let durable = durable.map_or(0, |group| group.last().0);
                let unsynced = (run.first.0 + discarded - 1).saturating_sub(durable);
                self.coverage.add(Effect::ConflictsUnsynced, unsynced.min(discarded));
            }
        }
        Ok(())
    }

    /// Looks at every group that the turn concerned, or may: where a node takes its inputs in several
    /// turns, one does not know which of them took which. What a replica that has `halted` in the turn
    /// took before is never written or said, so that its commit index may be where nobody sees a log.
    fn look(&mut self, node: u64, halted: &[(GroupId, HaltReason)]) -> Held {
        let mut touched = std::mem::take(&mut self.touched);
        if touched.len() > 1 {
            touched.sort_unstable();
            touched.dedup();
        }
        for group in touched.iter().copied() {
            let running = self.node_ref(node).running.as_ref();
            let cursors = running.and_then(|running| running.multi().cursors_of(group));
            let Some(cursors) = cursors else { continue };
            let has_risen = self.checks.cursors.look(node, group, cursors)?;
            let host = self.node_ref(node);
            if halted.iter().all(|(it, _)| *it != group) {
                let on_disk = host.disk.image.group(group).map(|on_disk| &on_disk.stamps);
                let log = self.checks.logs.of(node, group);
                durables::check(node, group, cursors.persisted, on_disk, log)?;
                if has_risen {
                    self.check_commit(node, group, cursors)?;
                }
            }
            let host = self.node_ref(node);
            let held = host.running.as_ref().and_then(|it| it.multi().replica_holdings(group));
            held.map_or(Ok(()), |held| {
                bounds::check_replica(node, group, &held, &host.limits.limits)
            })?;
        }
        self.touched = touched;
        let host = self.node_ref(node);
        let Some(running) = &host.running else { return Ok(()) };
        bounds::check(node, running, &host.limits)
    }

    fn check_commit(&mut self, node: u64, group: GroupId, cursors: multiraft::Cursors) -> Held {
        let nodes = &self.nodes;
        let holders = || nodes.iter().filter_map(|host| host.disk.image.group(group));
        let configuration = holders().find_map(|on_disk| on_disk.configuration());
        let (term, index) = (cursors.term, cursors.committed);
        let on_disk = |replica: Replica| {
            let place = usize::try_from(replica.node.0 - 1).expect("a node of the plan");
            nodes[place].image_of(replica.store.0).group(group).map(|on_disk| &on_disk.stamps)
        };
        let of_old_terms = self.checks.commits.commit(
            (node, group, term),
            index,
            self.checks.logs.of(node, group),
            configuration,
            on_disk,
        )?;
        self.coverage.add(Effect::OldTermsCommitted, of_old_terms);
        Ok(())
    }

    fn role_changed(&mut self, node: u64, group: GroupId, change: &multiraft::RoleChange) -> Held {
        self.tell(|| format!("  node {node} in group {group}: {change:?}"));
        if self.node_ref(node).jumped {
            self.count(Effect::JumpsActedOn);
        }
        if change.role != Role::Leader {
            if self.checks.elections.resign(group, node) {
                self.count(Effect::Deposed);
            }
            return Ok(());
        }
        let term = change.term;
        self.count(Effect::Elections);
        if self.heirs.remove(&group) == Some(node) {
            self.count(Effect::MadeWay);
        }
        self.plan_fall(node);
        self.checks.elections.lead(group, term, node)?;
        self.check_votes(node, group, term)?;
        let committed = self.checks.commits.before_term(group, term);
        self.checks.logs.check_complete(node, group, term, committed)
    }

    fn check_votes(&self, node: u64, group: GroupId, term: Term) -> Held {
        let nodes = &self.nodes;
        let holders = || nodes.iter().filter_map(|host| host.disk.image.group(group));
        let configuration = holders().find_map(|on_disk| on_disk.configuration());
        Elections::check_votes(group, term, node, configuration, |replica| {
            let place = usize::try_from(replica.node.0 - 1).expect("a node of the plan");
            let on_disk = nodes[place].image_of(replica.store.0).group(group);
            on_disk.map(|on_disk| on_disk.hard_state)
        })
    }

    fn write(&mut self, node: u64, ticket: BatchTicket, batch: WriteBatch) {
        if self.node(node).disk.write(ticket, batch) {
            self.plan_sync(node);
        }
    }

    fn apply(&mut self, node: u64, batch: ApplyBatch<u64>) -> Held {
        let (now, group) = (self.queue.now(), batch.group);
        // A machine that is seconds behind already would only stay so.
        let is_behind = self.node(node).shard(group).busy_until > now + 2_000_000;
        let is_slow = self.has(Class::SlowApply) && self.random.one_in(self.plan.frame_odds);
        let longest = if is_slow && !is_behind { 1_500_000 } else { 2_000 };
        let latency = self.random.within(20, longest);
        let host = self.node(node);
        let (boot, bytes_max) = (host.boot, host.limits.limits.apply_bytes_max);
        let shard = host.shard(group);
        shard.busy_until = shard.busy_until.max(now) + latency;
        let after = shard.busy_until - now;
        shard.applying.push_back(batch);
        let runs = shard.applying.iter().flat_map(|batch| &batch.runs);
        let costs = runs.map(EntryRun::cost);
        let (waiting, largest) =
            costs.fold((0, 0), |(sum, largest), cost| (sum + cost, cost.max(largest)));
        if latency >= 100_000 {
            self.count(Effect::SlowApplies);
        }
        self.plan_event(after, Event::Applied { node, boot, group });
        applies::check_room(node, group, waiting, largest, bytes_max)
    }
}
