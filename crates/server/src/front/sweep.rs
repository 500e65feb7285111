//! Clearing away what has expired in groups that nobody writes to.
//!
//! Writes clear away a few expired keys each. Where there are none, the leader lets the group know
//! that time has passed, by an entry of its own: every replica clears away the same keys then, and
//! none by its own clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use types::GroupId;

use super::service::Service;
use crate::data::entry::encode_sweep;

/// How often a leader looks for keys that have expired. Each time costs a look at every group that
/// the node leads; nothing is proposed where nothing has expired.
const INTERVAL: Duration = Duration::from_millis(250);

/// Sweeps the groups that the node leads, for ever.
pub(crate) async fn run(service: Arc<Service>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        once(&service).await;
    }
}

/// Sweeps once and waits for what comes of it.
async fn once(service: &Service) {
    let now = service.now();
    let is_due = |group: &GroupId| service.keyspaces.look(*group).is_some_and(|it| it.is_due(now));
    let entry = |group| (service.topology.first_vshard(group), encode_sweep(now));
    let sweeps: Vec<_> = service.led().filter(is_due).map(entry).collect();
    if !sweeps.is_empty() {
        // What is not done now is done the next time, by whoever leads then.
        let _ = service.replication.propose_many(sweeps).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::BytesMut;

    use super::*;
    use crate::front::batch::Batch;
    use crate::front::fake::{self, OTHER};
    use crate::front::service::ClientLimits;
    use crate::resp::Request;

    #[tokio::test]
    async fn what_has_expired_in_an_idle_group_is_cleared_away_by_an_entry() {
        let (service, fake) = fake::service(ClientLimits::default());
        let (mut session, _seat) = fake::session(&service);
        let requests = ["SET k v PX 1", "SET stays v", "SET later v EX 1000"].map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            Request::of(&words)
        });
        let mut batch = Batch::plan(&service, &mut session, requests);
        batch.round().await;
        batch.drain(&mut BytesMut::new(), usize::MAX);
        let group = service.topology.group_of(routing::hash_slot(b"k"));
        let is_due = || service.keyspaces.look(group).unwrap().is_due(service.now());
        let began = Instant::now();
        while !is_due() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not expire");
            tokio::task::yield_now().await;
        }
        // Only the leader does it.
        fake.set_leader(group, Some(OTHER), true);
        once(&service).await;
        assert_eq!((is_due(), fake.proposed()), (true, vec![3]));
        fake.set_leader(group, Some(fake::ME), true);
        once(&service).await;
        assert_eq!((is_due(), fake.proposed()), (false, vec![3, 1]));
        // Nothing is proposed where nothing has expired.
        once(&service).await;
        assert_eq!(fake.proposed(), [3, 1]);
    }
}
