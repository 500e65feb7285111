//! Control records: values that are rare, small and may grow fields, written with bincode.
//!
//! Bytes, drawn in `docs/format.md`: a version byte, then what bincode's legacy configuration makes
//! of the value: little-endian, every integer at its full width, lists behind a u64 count.
//!
//! Nothing is decoded without [`CONTROL_BYTES_MAX`] as bincode's limit: a list's count comes from
//! the outside, and without a limit nine hostile bytes make bincode allocate what they claim.

use alloc::vec::Vec;
use core::fmt;

use bincode::error::DecodeError;
use bincode::{Decode, Encode};
use raft_core::{Configuration, ConfigurationError, Replica};
use types::{NodeId, ReplicaId, StoreId};

/// The version byte of the control records that this crate writes, and the only one it reads.
pub const CONTROL_VERSION: u8 = 1;

/// The most bytes that a control record may have, and may make bincode allocate. The largest
/// configuration, 64 replicas, takes 1,817 bytes and 2,073 while it is decoded.
pub const CONTROL_BYTES_MAX: usize = 4096;

/// Bytes of a configuration without replicas: version and three counts.
const CONFIGURATION_BYTES_MIN: usize = 1 + 3 * 8;
/// Bytes of each replica: id, node, store.
const REPLICA_BYTES: usize = 4 + 8 + 16;

type Legacy = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Fixint,
    bincode::config::Limit<CONTROL_BYTES_MAX>,
>;
const LEGACY: Legacy = bincode::config::legacy().with_limit::<CONTROL_BYTES_MAX>();

/// Why bytes are no control record of the kind expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlError {
    /// No bytes at all, or fewer than the record's own counts ask for.
    Truncated {
        /// How many there are.
        found: usize,
    },
    /// More bytes, or more claimed by a count, than [`CONTROL_BYTES_MAX`].
    TooLarge {
        /// How many bytes there are.
        found: usize,
    },
    /// A version that this program does not know.
    Version {
        /// The version found; [`CONTROL_VERSION`] was expected.
        found: u8,
    },
    /// The record ends before the bytes do.
    Trailing {
        /// How many bytes the record has.
        record: usize,
        /// How many there are.
        found: usize,
    },
    /// A value that its field cannot hold.
    Malformed,
    /// Replicas that are not sorted by their ids, as whoever writes them sorts them.
    Unsorted {
        /// A replica,
        replica: ReplicaId,
        /// and the one that stands before it.
        after: ReplicaId,
    },
    /// The replicas form no configuration.
    Configuration(ConfigurationError),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { found } => {
                write!(f, "the control record is cut short after {found} bytes")
            }
            Self::TooLarge { found } => write!(
                f,
                "a control record has at most {CONTROL_BYTES_MAX} bytes; this one has {found}, or \
                 claims lists that take more"
            ),
            Self::Version { found } => {
                write!(f, "control record version {found}, expected {CONTROL_VERSION}")
            }
            Self::Trailing { record, found } => {
                write!(f, "the control record ends after {record} of {found} bytes")
            }
            Self::Malformed => write!(f, "a field of the control record cannot have its value"),
            Self::Unsorted { replica, after } => {
                write!(f, "replica {replica} stands after replica {after}, expected before it")
            }
            Self::Configuration(error) => write!(f, "no legal configuration: {error}"),
        }
    }
}

impl core::error::Error for ControlError {}

/// Lays out a configuration.
///
/// Shape: [`configuration_len`] bytes, at most 1,817.
pub fn encode_configuration(configuration: &Configuration) -> Vec<u8> {
    let stored = StoredConfiguration {
        incoming: stored(configuration.incoming()),
        outgoing: stored(configuration.outgoing()),
        learners: stored(configuration.learners()),
    };
    let bytes = bincode::encode_to_vec((CONTROL_VERSION, stored), LEGACY)
        .expect("encoding integers into memory cannot fail");
    assert_eq!(bytes.len(), configuration_len(configuration), "the size function is exact");
    bytes
}

/// How many bytes [`encode_configuration`] makes of a configuration.
pub fn configuration_len(configuration: &Configuration) -> usize {
    let replicas = configuration.incoming().len()
        + configuration.outgoing().len()
        + configuration.learners().len();
    CONFIGURATION_BYTES_MIN + replicas * REPLICA_BYTES
}

/// Reads a configuration back; `bytes` must hold it and nothing else, laid out as
/// [`encode_configuration`] does: a configuration has one encoding.
///
/// # Errors
/// Names what is wrong. Bytes from a peer are refused; bytes from the store are damage.
pub fn decode_configuration(bytes: &[u8]) -> Result<Configuration, ControlError> {
    let stored: StoredConfiguration = decode(bytes)?;
    for part in [&stored.incoming, &stored.outgoing, &stored.learners] {
        if let Some(pair) = part.windows(2).find(|pair| pair[0].id > pair[1].id) {
            let (after, replica) = (ReplicaId(pair[0].id), ReplicaId(pair[1].id));
            return Err(ControlError::Unsorted { replica, after });
        }
    }
    Configuration::new(
        replicas(&stored.incoming),
        replicas(&stored.outgoing),
        replicas(&stored.learners),
    )
    .map_err(ControlError::Configuration)
}

/// Reads the value behind the version byte.
fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, ControlError> {
    let found = bytes.len();
    if found > CONTROL_BYTES_MAX {
        return Err(ControlError::TooLarge { found });
    }
    let (&version, body) = bytes.split_first().ok_or(ControlError::Truncated { found })?;
    if version != CONTROL_VERSION {
        return Err(ControlError::Version { found: version });
    }
    let decoded = bincode::decode_from_slice(body, LEGACY).map_err(|error| {
        if matches!(error, DecodeError::UnexpectedEnd { .. }) {
            ControlError::Truncated { found }
        } else if matches!(error, DecodeError::LimitExceeded) {
            ControlError::TooLarge { found }
        } else {
            ControlError::Malformed
        }
    });
    let (value, consumed) = decoded?;
    if consumed != body.len() {
        return Err(ControlError::Trailing { record: 1 + consumed, found });
    }
    Ok(value)
}

/// A configuration's fields in the order in which they are written.
#[derive(Encode, Decode)]
struct StoredConfiguration {
    incoming: Vec<StoredReplica>,
    outgoing: Vec<StoredReplica>,
    learners: Vec<StoredReplica>,
}

/// A replica's fields in the order in which they are written.
#[derive(Encode, Decode)]
struct StoredReplica {
    id: u32,
    node: u64,
    store: u128,
}

fn stored(part: &[Replica]) -> Vec<StoredReplica> {
    let one = |r: &Replica| StoredReplica { id: r.id.0, node: r.node.0, store: r.store.0 };
    part.iter().map(one).collect()
}

fn replicas(part: &[StoredReplica]) -> Vec<Replica> {
    let one = |r: &StoredReplica| Replica {
        id: ReplicaId(r.id),
        node: NodeId(r.node),
        store: StoreId(r.store),
    };
    part.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::strategies;

    /// Voters 1 (node 11) and 2 (node 12), learner 3 (node 13).
    const GOLDEN: &str = "01\
        0200000000000000\
        01000000 0b00000000000000 a1000000000000000000000000000000\
        02000000 0c00000000000000 a2000000000000000000000000000000\
        0000000000000000\
        0100000000000000\
        03000000 0d00000000000000 000102030405060708090a0b0c0d0e0f";

    fn golden_value() -> Configuration {
        let replica = |id, node, store| Replica {
            id: ReplicaId(id),
            node: NodeId(node),
            store: StoreId(store),
        };
        Configuration::new(
            vec![replica(1, 11, 0xa1), replica(2, 12, 0xa2)],
            vec![],
            vec![replica(3, 13, 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100)],
        )
        .unwrap()
    }

    #[test]
    fn configuration_has_its_golden_bytes() {
        let golden = strategies::hex(GOLDEN);
        assert_eq!(encode_configuration(&golden_value()), golden);
        assert_eq!(decode_configuration(&golden), Ok(golden_value()));
        assert_eq!(strategies::documented("configuration"), golden);
    }

    #[test]
    fn golden_bytes_are_read_by_wincode_too() {
        type Part = Vec<(u32, u64, u128)>;
        let golden = strategies::hex(GOLDEN);
        let (version, incoming, outgoing, learners): (u8, Part, Part, Part) =
            wincode::deserialize_exact(&golden).unwrap();
        let part = |part: Part| {
            let one = |(id, node, store)| StoredReplica { id, node, store };
            replicas(&part.into_iter().map(one).collect::<Vec<_>>())
        };
        let read = Configuration::new(part(incoming), part(outgoing), part(learners)).unwrap();
        assert_eq!((version, read), (CONTROL_VERSION, golden_value()));
        let value = golden_value();
        let tuples = |part: &[Replica]| -> Part {
            part.iter().map(|r| (r.id.0, r.node.0, r.store.0)).collect()
        };
        let parts =
            (1u8, tuples(value.incoming()), tuples(value.outgoing()), tuples(value.learners()));
        assert_eq!(wincode::serialize(&parts).unwrap(), golden);
    }

    #[test]
    fn wrong_bytes_are_refused_by_name() {
        let golden = strategies::hex(GOLDEN);
        assert_eq!(decode_configuration(&[]), Err(ControlError::Truncated { found: 0 }));
        let cut = &golden[..golden.len() - 1];
        assert_eq!(decode_configuration(cut), Err(ControlError::Truncated { found: 108 }));
        let mut longer = golden.clone();
        longer.push(0);
        let trailing = ControlError::Trailing { record: 109, found: 110 };
        assert_eq!(decode_configuration(&longer), Err(trailing));
        let mut newer = golden.clone();
        newer[0] = 2;
        assert_eq!(decode_configuration(&newer), Err(ControlError::Version { found: 2 }));
        let large = vec![CONTROL_VERSION; CONTROL_BYTES_MAX + 1];
        assert_eq!(decode_configuration(&large), Err(ControlError::TooLarge { found: 4097 }));
    }

    #[test]
    fn a_hostile_count_allocates_nothing() {
        let mut hostile = vec![CONTROL_VERSION];
        hostile.extend([0xff; 7]);
        hostile.push(0x0f);
        assert_eq!(decode_configuration(&hostile), Err(ControlError::TooLarge { found: 9 }));
    }

    #[test]
    fn a_configuration_has_one_encoding() {
        let mut bytes = strategies::hex(GOLDEN);
        bytes[9] = 9;
        let unsorted = ControlError::Unsorted { replica: ReplicaId(2), after: ReplicaId(9) };
        assert_eq!(decode_configuration(&bytes), Err(unsorted));
        assert_eq!(unsorted.to_string(), "replica 2 stands after replica 9, expected before it");
    }

    #[test]
    fn replicas_that_form_no_configuration_are_refused() {
        let mut bytes = strategies::hex(GOLDEN);
        bytes[9 + REPLICA_BYTES] = 1;
        let twice = ConfigurationError::ReplicaTwice { replica: ReplicaId(1) };
        assert_eq!(decode_configuration(&bytes), Err(ControlError::Configuration(twice)));
        let only_learners =
            strategies::hex("01 0000000000000000 0000000000000000 0100000000000000")
                .into_iter()
                .chain([7; REPLICA_BYTES])
                .collect::<Vec<_>>();
        let no_voters = ControlError::Configuration(ConfigurationError::NoVoters);
        assert_eq!(decode_configuration(&only_learners), Err(no_voters));
    }

    #[test]
    fn the_largest_configuration_fits() {
        let replica = |id: u32| Replica {
            id: ReplicaId(id),
            node: NodeId(u64::from(id)),
            store: StoreId(u128::MAX),
        };
        let largest = Configuration::new((1..=64).map(replica).collect(), vec![], vec![]).unwrap();
        let bytes = encode_configuration(&largest);
        assert_eq!(bytes.len(), 1817);
        assert_eq!(decode_configuration(&bytes), Ok(largest));
    }

    proptest! {
        #[test]
        fn configurations_round_trip(configuration in strategies::configuration()) {
            let bytes = encode_configuration(&configuration);
            prop_assert_eq!(bytes.len(), configuration_len(&configuration));
            prop_assert_eq!(decode_configuration(&bytes), Ok(configuration));
        }

        #[test]
        fn random_bytes_are_refused_or_read_without_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300), versioned in any::<bool>()
        ) {
            if let (true, Some(first)) = (versioned, bytes.first_mut()) {
                *first = CONTROL_VERSION;
            }
            if let Ok(read) = decode_configuration(&bytes) {
                prop_assert_eq!(encode_configuration(&read), bytes);
            }
        }

        #[test]
        fn damaged_bytes_are_refused_or_read_to_the_end(
            configuration in strategies::configuration(), damage in strategies::damage()
        ) {
            let bytes = damage.applied_to(encode_configuration(&configuration));
            if let Ok(read) = decode_configuration(&bytes) {
                prop_assert_eq!(encode_configuration(&read), bytes);
            }
        }
    }
}
