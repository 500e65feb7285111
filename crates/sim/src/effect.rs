//! What has come of faults: each counter counts an effect, something that the cluster had to live
//! with, and not the attempt. One that stays zero over many seeds is a fault that nothing meets.

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Effect {
    /// Frames lost.
    FramesLost,
    /// Frames that arrived twice.
    FramesRepeated,
    /// Frames overtaken by a later one.
    FramesOvertaken,
    /// Frames more than 100 ms late.
    FramesLate,
    /// Frames lost to a cut in one direction.
    LostOneWay,
    /// Frames lost to a cut between camps.
    LostToCut,
    /// Frames lost to a ring.
    LostToRing,
    /// Frames lost around a hub.
    LostToHub,
    /// Frames lost around a hub that is behind.
    LostToConstraint,
    /// Frames lost to a chain.
    LostToChain,
    /// Frames held by a clog and let go.
    ClogHeld,
    /// Frames dropped from full queues.
    QueueOverflow,
    /// Old frames that came again.
    Replayed,
    /// Old frames of an earlier start.
    ReplayedAcrossBoots,
    /// Altered frames refused by the codec.
    CorruptRefused,
    /// Altered frames that only a checksum tells.
    CorruptRead,
    /// Frames cut short, refused.
    TruncatedRefused,
    /// Frames too large, refused.
    OversizeRefused,
    /// Frames reported dropped by a reset.
    ResetReported,
    /// Messages of others refused.
    StrangersRefused,
    /// Power cuts that lost a write.
    UnsyncedLost,
    /// Power cuts that kept an unreported write.
    UnsyncedKept,
    /// Power cuts within what was written.
    UnsyncedTorn,
    /// Blackouts of all nodes.
    Blackouts,
    /// Kills with a write under way.
    KillsMidWrite,
    /// Bursts of inputs after a pause.
    Bursts,
    /// Bursts with all ticks first.
    TicksFirst,
    /// Bursts with all ticks last.
    TicksLast,
    /// Bursts with the disk last.
    DiskLast,
    /// Leaders that heard old answers while another led.
    HeardLate,
    /// Starts within a second of the last.
    Storms,
    /// Leaders that fell soon after they began to lead.
    Falls,
    /// Turns that took long.
    SlowTurns,
    /// Leaderships given up by unfit nodes.
    UnfitLeaders,
    /// Frames from new stores refused.
    WipesRefused,
    /// Clocks an election timeout off.
    ClocksApart,
    /// Roles changed by a clock's jump.
    JumpsActedOn,
    /// Ticks ignored behind a clock's fall.
    TicksIgnored,
    /// Ten ticks or more at once.
    TicksAtOnce,
    /// Nodes stopped by a failed sync.
    SyncErrors,
    /// Nodes stopped by a failed write.
    WriteErrors,
    /// Nodes stopped by a failed read.
    ReadErrors,
    /// Syncs of a second or more.
    Stalls,
    /// Applies of 100 ms or more.
    SlowApplies,
    /// Reads that a stalled disk answered 100 ms later or more.
    SlowReads,
    /// Disks found between two commits' bytes.
    TornOnDisk,
    /// Openings that found a commit whole which was cut short.
    RecoveredWith,
    /// Openings that found nothing of it.
    RecoveredWithout,
    /// Nodes halted by damage on disk.
    DamageHalts,
    /// Damage that hit nothing live.
    DamageHarmless,
    /// Groups handed over to another node.
    HandoversDone,
    /// Handovers that left the leader where it was.
    HandoversTimedOut,
    /// Handovers after which somebody else led, or nobody.
    HandoversAstray,
    /// Handovers refused.
    HandoversRefused,
    /// Operations refused during a handover.
    RefusedInHandover,
    /// Attempts to write that found no room, even for the oldest write alone.
    NoRoom,
    /// Writes that waited for room and were made then.
    RoomAgain,
    /// Nodes that ended while a write waited for room.
    EndedFull,
    /// Starts that found no room.
    StartsFull,
    /// Writes refused by leaders with full disks.
    RefusedFull,
    /// Writes refused by leaders of full majorities.
    RefusedMajority,
    /// Messages with commands refused for a full disk.
    CommandsRefused,
    /// Writes given up because nothing found room.
    StuckTold,
    /// Times that a node learned of another's full disk.
    FullHeard,
    /// Groups handed over for a full disk.
    MadeWay,
    /// Retries served.
    RetriesServed,
    /// Operations served after the client left.
    CancelledServed,
    /// Redirects that led to the leader.
    Redirects,
    /// Groups served while their voters formed a ring.
    ServedInRing,
    /// Groups served while only a hub reached their voters.
    ServedAroundHub,
    /// Groups served while a hub was all that their leader had left.
    ServedConstrained,
    /// Groups served while their voters formed a chain.
    ServedInChain,
    /// Groups of which nobody could lead while a partition lasted.
    NobodyAble,
    /// Groups served while a minority of all disks was full.
    ServedBesideFull,
    /// Groups read while a majority of all disks was full.
    ReadWhileFull,
    /// Restarts.
    Restarts,
    /// Groups that waited for their members to agree although all had been met.
    FoundingsHeld,
    /// Groups founded because another member had founded them.
    FoundedOnHearing,
    /// Machines restored with what they had applied.
    RestoredAhead,
    /// Leaders elected.
    Elections,
    /// Leaders that followed again.
    Deposed,
    /// Entries replaced by a newer leader's.
    Conflicts,
    /// Of them not yet synced.
    ConflictsUnsynced,
    /// Entries committed in a later term.
    OldTermsCommitted,
    /// Syncs that carried several writes.
    CommitRuns,
    /// Fetches for replicas behind.
    FetchesForPeers,
    /// Fetches for state machines.
    FetchesForApply,
    /// Fetches answered after a restart.
    FetchesStale,
    /// Writes acknowledged.
    WritesDone,
    /// Reads served.
    ReadsDone,
    /// Writes of unknown outcome.
    Uncertain,
    /// Operations refused.
    Refused,
    /// Operations refused for a budget.
    Overloaded,
}

/// How often each effect was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coverage([u64; EFFECTS.len()]);

impl Default for Coverage {
    fn default() -> Self {
        Self([0; EFFECTS.len()])
    }
}

impl Coverage {
    /// It happened.
    pub(crate) const fn count(&mut self, effect: Effect) {
        self.add(effect, 1);
    }

    /// It happened so many times.
    pub(crate) const fn add(&mut self, effect: Effect, times: u64) {
        self.0[effect as usize] += times;
    }

    /// How often it happened.
    #[must_use]
    pub const fn of(&self, effect: Effect) -> u64 {
        self.0[effect as usize]
    }

    /// What each effect is and how often it happened, in the order of the menu.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        EFFECTS.iter().map(|(effect, name)| (*name, self.of(*effect)))
    }

    /// The counts alone, in the order of the menu.
    #[must_use]
    pub const fn counts(&self) -> &[u64] {
        &self.0
    }

    /// Adds what was counted elsewhere, in the order of the menu.
    pub fn merge(&mut self, counts: impl IntoIterator<Item = u64>) {
        for (sum, count) in self.0.iter_mut().zip(counts) {
            *sum += count;
        }
    }
}

/// How many effects, from the first, are faults; the others are what a cluster does by itself.
pub const FAULT_EFFECTS: usize = Effect::RetriesServed as usize;

/// The menu of effects, in the order in which they are declared.
const EFFECTS: [(Effect, &str); 93] = [
    (Effect::FramesLost, "frames lost"),
    (Effect::FramesRepeated, "frames that arrived twice"),
    (Effect::FramesOvertaken, "frames overtaken by a later one"),
    (Effect::FramesLate, "frames more than 100 ms late"),
    (Effect::LostOneWay, "frames lost to a cut in one direction"),
    (Effect::LostToCut, "frames lost to a cut between camps"),
    (Effect::LostToRing, "frames lost to a ring"),
    (Effect::LostToHub, "frames lost around a hub"),
    (Effect::LostToConstraint, "frames lost around a hub that is behind"),
    (Effect::LostToChain, "frames lost to a chain"),
    (Effect::ClogHeld, "frames held by a clog and let go"),
    (Effect::QueueOverflow, "frames dropped from full queues"),
    (Effect::Replayed, "old frames that came again"),
    (Effect::ReplayedAcrossBoots, "old frames of an earlier start"),
    (Effect::CorruptRefused, "altered frames refused by the codec"),
    (Effect::CorruptRead, "altered frames that only a checksum tells"),
    (Effect::TruncatedRefused, "frames cut short, refused"),
    (Effect::OversizeRefused, "frames too large, refused"),
    (Effect::ResetReported, "frames reported dropped by a reset"),
    (Effect::StrangersRefused, "messages of others refused"),
    (Effect::UnsyncedLost, "power cuts that lost a write"),
    (Effect::UnsyncedKept, "power cuts that kept an unreported write"),
    (Effect::UnsyncedTorn, "power cuts within what was written"),
    (Effect::Blackouts, "blackouts of all nodes"),
    (Effect::KillsMidWrite, "kills with a write under way"),
    (Effect::Bursts, "bursts of inputs after a pause"),
    (Effect::TicksFirst, "bursts with all ticks first"),
    (Effect::TicksLast, "bursts with all ticks last"),
    (Effect::DiskLast, "bursts with the disk last"),
    (Effect::HeardLate, "leaders that heard old answers while another led"),
    (Effect::Storms, "starts within a second of the last"),
    (Effect::Falls, "leaders that fell as soon as they led"),
    (Effect::SlowTurns, "turns that took long"),
    (Effect::UnfitLeaders, "leaderships given up by unfit nodes"),
    (Effect::WipesRefused, "frames from new stores refused"),
    (Effect::ClocksApart, "clocks an election timeout off"),
    (Effect::JumpsActedOn, "roles changed by a clock's jump"),
    (Effect::TicksIgnored, "ticks ignored behind a clock's fall"),
    (Effect::TicksAtOnce, "ten ticks or more at once"),
    (Effect::SyncErrors, "nodes stopped by a failed sync"),
    (Effect::WriteErrors, "nodes stopped by a failed write"),
    (Effect::ReadErrors, "nodes stopped by a failed read"),
    (Effect::Stalls, "syncs of a second or more"),
    (Effect::SlowApplies, "applies of 100 ms or more"),
    (Effect::SlowReads, "reads of 100 ms or more"),
    (Effect::TornOnDisk, "disks found between two commits' bytes"),
    (Effect::RecoveredWith, "commits cut short that openings found whole"),
    (Effect::RecoveredWithout, "commits cut short of which they found nothing"),
    (Effect::DamageHalts, "nodes halted by damage on disk"),
    (Effect::DamageHarmless, "damage that hit nothing live"),
    (Effect::HandoversDone, "groups handed over to another node"),
    (Effect::HandoversTimedOut, "handovers that left the leader where it was"),
    (Effect::HandoversAstray, "handovers after which others led, or nobody"),
    (Effect::HandoversRefused, "handovers refused"),
    (Effect::RefusedInHandover, "operations refused during a handover"),
    (Effect::NoRoom, "attempts to write that found no room"),
    (Effect::RoomAgain, "writes that waited for room and got it"),
    (Effect::EndedFull, "nodes that ended while a write waited for room"),
    (Effect::StartsFull, "starts that found no room"),
    (Effect::RefusedFull, "writes refused for a full disk"),
    (Effect::RefusedMajority, "writes refused for a full majority"),
    (Effect::CommandsRefused, "messages with commands refused for a full disk"),
    (Effect::StuckTold, "writes given up for want of room"),
    (Effect::FullHeard, "full disks that another node heard of"),
    (Effect::MadeWay, "groups handed over for a full disk"),
    (Effect::RetriesServed, "retries served"),
    (Effect::CancelledServed, "operations served after the client left"),
    (Effect::Redirects, "redirects that led to the leader"),
    (Effect::ServedInRing, "groups served in a ring"),
    (Effect::ServedAroundHub, "groups served around a hub"),
    (Effect::ServedConstrained, "groups served around a hub without their leader"),
    (Effect::ServedInChain, "groups served in a chain"),
    (Effect::NobodyAble, "groups that nobody could lead while cut"),
    (Effect::ServedBesideFull, "groups served beside full disks"),
    (Effect::ReadWhileFull, "groups read while a majority was full"),
    (Effect::Restarts, "restarts"),
    (Effect::FoundingsHeld, "groups that waited for their members to agree"),
    (Effect::FoundedOnHearing, "groups founded because another member had"),
    (Effect::RestoredAhead, "machines restored with what they had applied"),
    (Effect::Elections, "leaders elected"),
    (Effect::Deposed, "leaders that followed again"),
    (Effect::Conflicts, "entries replaced by a newer leader's"),
    (Effect::ConflictsUnsynced, "of them not yet synced"),
    (Effect::OldTermsCommitted, "entries committed in a later term"),
    (Effect::CommitRuns, "syncs that carried several writes"),
    (Effect::FetchesForPeers, "fetches for replicas behind"),
    (Effect::FetchesForApply, "fetches for state machines"),
    (Effect::FetchesStale, "fetches answered after a restart"),
    (Effect::WritesDone, "writes acknowledged"),
    (Effect::ReadsDone, "reads served"),
    (Effect::Uncertain, "writes of unknown outcome"),
    (Effect::Refused, "operations refused"),
    (Effect::Overloaded, "operations refused for a budget"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_effect_stands_at_its_place() {
        for (place, (effect, _)) in EFFECTS.iter().enumerate() {
            assert_eq!(*effect as usize, place);
        }
    }

    #[test]
    fn coverage_adds_up() {
        let mut one = Coverage::default();
        one.count(Effect::Restarts);
        let mut sum = one;
        sum.merge(one.counts().iter().copied());
        assert_eq!(sum.of(Effect::Restarts), 2);
        assert_eq!(sum.rows().filter(|(_, count)| *count > 0).count(), 1);
    }
}
