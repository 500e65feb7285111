//! The log reader: fetches entries that are durable and no longer in memory, so that no worker ever
//! waits for a disk read.
//!
//! Invariant: every fetch is answered, or the engine fails.

use std::sync::Arc;

use raft_core::{Fetch, FetchError};
use storage_redb::{FetchRequest, ReadError, Reader};
use types::GroupId;

use crate::failure::{Alarm, Failure};
use crate::messages::{Fact, FetchedEntries, ReadJob};
use crate::queue::{Receiver, Sender};

/// What the log reader owns.
pub(crate) struct LogReader {
    pub(crate) reader: Reader,
    pub(crate) jobs: Receiver<ReadJob>,
    /// By worker.
    pub(crate) facts: Vec<Sender<Fact>>,
    pub(crate) alarm: Arc<Alarm>,
}

impl LogReader {
    /// Reads until it is told to stop or the store fails.
    pub(crate) fn run(mut self) {
        while let ReadJob::Fetch { worker, fetches } = self.jobs.recv() {
            match self.fetch(fetches) {
                Ok(fetched) => {
                    // A worker that has ended does not want to know.
                    let _ = self.facts[worker].send(Fact::Fetched(fetched));
                }
                Err(reason) => return self.alarm.raise(Failure::Store { reason }),
            }
        }
    }

    /// Reads the fetches of one turn together: one record may serve many of them.
    ///
    /// # Errors
    /// The store has failed.
    fn fetch(&self, fetches: Vec<(GroupId, Fetch)>) -> Result<Vec<FetchedEntries>, String> {
        let requests: Vec<FetchRequest> = fetches
            .iter()
            .map(|(group, fetch)| FetchRequest {
                group: *group,
                first: fetch.first,
                last: fetch.last,
                bytes_max: fetch.bytes_max,
            })
            .collect();
        let results = self.reader.fetch(&requests);
        assert_eq!(results.len(), fetches.len(), "each fetch has its answer");
        let mut fetched = Vec::with_capacity(fetches.len());
        for ((group, fetch), result) in fetches.into_iter().zip(results) {
            let result = match result {
                Ok(runs) => Ok(runs),
                Err(ReadError::Compacted { first, .. }) => Err(FetchError::Compacted { first }),
                Err(error @ ReadError::Damaged { .. }) => {
                    tracing::error!(%group, %error, "the group takes part in nothing any more");
                    Err(FetchError::Damaged)
                }
                // The end of the log was cut off meanwhile: nobody wants these entries any more.
                Err(ReadError::Beyond { .. } | ReadError::UnknownGroup { .. }) => Ok(Vec::new()),
                Err(error @ ReadError::Poisoned { .. }) => return Err(error.to_string()),
            };
            fetched.push(FetchedEntries { group, purpose: fetch.purpose, result });
        }
        Ok(fetched)
    }
}
