//! How many file descriptors the process may have, and how many clients fit in them.
//!
//! A process that has run out of descriptors takes in neither clients nor other nodes, and cannot
//! open its files. So clients get what is left when everything else has its own, and one too many is
//! told so instead of waiting in vain.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

/// What a node needs beside its clients': log and reserve, ports, connections with six other nodes
/// that come and go, threads that wait, and what is open in between.
pub const OWN_DESCRIPTORS: u64 = 128;

/// Not one client fits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error(
    "the process may have {limit} file descriptors, and needs {OWN_DESCRIPTORS} for each node and \
     one for each client: allow more (ulimit -n, LimitNOFILE=)"
)]
pub struct TooFew {
    /// How many it may have.
    pub limit: u64,
}

/// Sees to it that `nodes` nodes in this process may have `clients_max` clients each, and raises the
/// process's own limit as far as the system allows. Gives out how many clients each may have, which
/// may be fewer.
///
/// # Errors
/// No client would fit; the operator allows more descriptors.
pub fn make_room(nodes: usize, clients_max: usize) -> Result<usize, TooFew> {
    let limit = getrlimit(Resource::Nofile);
    let needed = needed(nodes, clients_max);
    let limit = match raised(limit, needed) {
        Some(higher) => {
            let raised = setrlimit(Resource::Nofile, higher).map_err(io::Error::from);
            if let Err(error) = &raised {
                tracing::warn!(%error, "cannot raise the limit on file descriptors");
            }
            if raised.is_ok() { higher } else { limit }
        }
        None => limit,
    };
    let current = limit.current.unwrap_or(u64::MAX);
    fitting(current, nodes, clients_max).ok_or(TooFew { limit: current })
}

/// How many descriptors nodes with that many clients each need.
fn needed(nodes: usize, clients_max: usize) -> u64 {
    let each = OWN_DESCRIPTORS.saturating_add(clients_max as u64);
    each.saturating_mul(nodes as u64)
}

/// The limit to be set, if the one there is is too low and may be raised.
fn raised(limit: Rlimit, needed: u64) -> Option<Rlimit> {
    let current = limit.current?;
    let most = limit.maximum.unwrap_or(u64::MAX).min(needed);
    (current < most).then_some(Rlimit { current: Some(most), maximum: limit.maximum })
}

/// How many clients each node may have with that many descriptors; none if not even one.
fn fitting(descriptors: u64, nodes: usize, clients_max: usize) -> Option<usize> {
    let each = descriptors.checked_div(nodes as u64)?;
    let clients = each.checked_sub(OWN_DESCRIPTORS).filter(|clients| *clients > 0)?;
    Some(usize::try_from(clients).map_or(clients_max, |clients| clients.min(clients_max)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(current: u64, maximum: Option<u64>) -> Rlimit {
        Rlimit { current: Some(current), maximum }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_needed_and_allowed() {
        let needed = needed(1, 10_000);
        assert_eq!(needed, 10_128);
        let current = |limit, needed| raised(limit, needed).map(|limit| limit.current.unwrap());
        assert_eq!(current(limit(1_024, None), needed), Some(needed));
        assert_eq!(current(limit(1_024, Some(4_096)), needed), Some(4_096));
        assert_eq!(current(limit(4_096, Some(4_096)), needed), None);
        assert_eq!(current(limit(20_000, Some(20_000)), needed), None);
        assert_eq!(raised(Rlimit { current: None, maximum: None }, needed), None);
    }

    #[test]
    fn clients_get_what_the_node_does_not_need() {
        assert_eq!(fitting(20_000, 1, 10_000), Some(10_000));
        assert_eq!(fitting(1_024, 1, 10_000), Some(896));
        assert_eq!(fitting(1_024, 3, 10_000), Some(213));
        assert_eq!(fitting(u64::MAX, 1, 10_000), Some(10_000));
        assert_eq!(fitting(OWN_DESCRIPTORS, 1, 10_000), None);
        assert_eq!(fitting(0, 1, 1), None);
    }
}
