//! Identities. A replica that lost its disk must never be mistaken for the one that had it, and a
//! re-created group never for the old one: hence stores, boots and generations beside node ids.

use alloc::string::String;
use core::fmt;

number! {
    /// A machine's place in the cluster, chosen by the operator and never reused for other data.
    NodeId(u64)
}

number! {
    /// Which opening of a store this is; rises durably by one at each open, the first open is 1.
    BootId(u64)
}

number! {
    /// One Raft group. Group 0 is reserved for metadata; data groups are numbered from 1.
    GroupId(u64)
}

number! {
    /// Which life of a group id this is: a removed group may only come back with a higher one.
    Generation(u32)
}

number! {
    /// One replica within a group; never used again within that group, not even by the same node.
    ReplicaId(u32)
}

number! {
    /// One slice of the key space: the unit that the routing table maps to groups.
    VShardId(u32)
}

number! {
    /// The version of a routing table: a newer one replaces an older one, never the reverse.
    Epoch(u64)
}

/// A store's random identity, drawn once when its folder is created.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

/// The operator's name for the whole cluster; nodes with different ones refuse each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClusterId(String);

/// Why a text is no [`ClusterId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClusterIdError {
    /// Not between 1 and [`ClusterId::BYTES_MAX`] bytes long.
    Length {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// A character other than ASCII letters, digits, `-`, `_` and `.`.
    Character {
        /// The first offender.
        found: char,
    },
}

impl ClusterId {
    /// The longest legal name, in bytes: it travels in every hello.
    pub const BYTES_MAX: usize = 64;

    /// Accepts a name of 1 to 64 ASCII letters, digits, `-`, `_` and `.`.
    ///
    /// # Errors
    /// Says what is wrong with the text; the caller shows it to whoever wrote the configuration.
    pub fn new(name: impl Into<String>) -> Result<Self, ClusterIdError> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::BYTES_MAX {
            return Err(ClusterIdError::Length { bytes: name.len() });
        }
        match name.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c))) {
            Some(found) => Err(ClusterIdError::Character { found }),
            None => Ok(Self(name)),
        }
    }

    /// The name as the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ClusterIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { bytes } => write!(
                f,
                "a cluster id has 1 to {} bytes, this one has {bytes}",
                ClusterId::BYTES_MAX
            ),
            Self::Character { found } => write!(
                f,
                "a cluster id has only ASCII letters, digits, '-', '_' and '.', found {found:?}"
            ),
        }
    }
}

impl core::error::Error for ClusterIdError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn cluster_id_names_what_is_wrong() {
        assert_eq!(ClusterId::new("prod-1.eu_a").unwrap().as_str(), "prod-1.eu_a");
        assert_eq!(ClusterId::new(""), Err(ClusterIdError::Length { bytes: 0 }));
        assert_eq!(ClusterId::new("a b"), Err(ClusterIdError::Character { found: ' ' }));
        let long = "x".repeat(65);
        assert_eq!(
            ClusterId::new(long).unwrap_err().to_string(),
            "a cluster id has 1 to 64 bytes, this one has 65"
        );
    }

    #[test]
    fn store_id_prints_all_its_digits() {
        assert_eq!(StoreId(0xab).to_string(), "000000000000000000000000000000ab");
    }
}
