//! Host and port.

use std::fmt;
use std::net::IpAddr;

use super::error::Problem;

/// A host, by name or number, and a port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// The host; a number of version 6 without brackets.
    pub host: String,
    /// The port, not 0.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, a host number of version 6 in brackets.
    ///
    /// # Errors
    /// [`Problem::Field`] with the field's name.
    pub(crate) fn parse(field: &str, text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::field(field, text, "host:port with a port from 1 to 65535");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().is_ok(),
            None => !host.is_empty() && !host.contains([':', '[', ']', ' ', '/']),
        };
        let port = port.parse().ok().filter(|port| *port != 0 && is_host).ok_or_else(wrong)?;
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port })
    }

    /// Reads an address that others are to connect to.
    ///
    /// # Errors
    /// As [`Address::parse`], and for 0.0.0.0 and its like.
    pub(crate) fn parse_reachable(field: &str, text: &str) -> Result<Self, Problem> {
        let address = Self::parse(field, text)?;
        if address.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            let allowed = "an address that others can connect to; a node that listens on all \
                           addresses says in announce_addr which one";
            return Err(Problem::field(field, text, allowed));
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_as_written() {
        for text in ["10.0.0.1:7001", "node-1.example.org:1", "[::1]:65535", "0.0.0.0:7001"] {
            assert_eq!(Address::parse("f", text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse("f", "[::1]:7001").unwrap().host, "::1");
    }

    #[test]
    fn anything_else_is_refused_with_the_field() {
        for text in
            ["", "7001", ":7001", "host", "host:", "host:0", "host:65536", "::1:7001", "[x]:1"]
        {
            let error = Address::parse("peer_addr", text).unwrap_err().to_string();
            let expected =
                format!("peer_addr is {text:?}, allowed is host:port with a port from 1 to 65535");
            assert_eq!(error, expected);
        }
        assert!(Address::parse_reachable("f", "0.0.0.0:7001").is_err());
        assert!(Address::parse_reachable("f", "[::]:7001").is_err());
    }
}
