//! A node that answers what a test has written down for it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use crate::config::Address;

const PIECE_BYTES: usize = 16 * 1024;

/// Listens, and gives each piece of a request that comes one of the answers, as it stands; serves one
/// connection after the other. Is gone after the last answer: it closes the connection, and nobody
/// listens there any more.
pub(crate) fn node<A>(answers: A) -> Address
where
    A: IntoIterator<Item = String> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut connection = None;
        for answer in answers {
            let mut stream = asked(&listener, connection.take());
            // Who has left meanwhile does not want it.
            let _ = stream.write_all(answer.as_bytes());
            connection = Some(stream);
        }
    });
    Address { host: Ipv4Addr::LOCALHOST.to_string(), port }
}

/// Waits for the next piece, on the next connection if this one has ended.
fn asked(listener: &TcpListener, connection: Option<TcpStream>) -> TcpStream {
    let mut next = connection;
    loop {
        let mut stream = next.take().unwrap_or_else(|| listener.accept().unwrap().0);
        if stream.read(&mut [0; PIECE_BYTES]).is_ok_and(|len| len > 0) {
            return stream;
        }
    }
}

/// A text of many bytes, as the protocol has it.
pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
