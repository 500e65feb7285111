//! A connection that goes through us: two sockets, and a thread for each direction.
//!
//! What one end does, the other sees: an end of its bytes, or a reset. A connection is gone when both
//! directions are, and only then are its sockets closed.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::way::Way;

/// The most that is taken from a socket at once.
const PIECE_BYTES: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    /// To the node that has dialed.
    dialer: TcpStream,
    /// To the node that was dialed.
    dialed: TcpStream,
    is_cut: AtomicBool,
}

/// One of the two directions of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Direction {
    /// From the node that has dialed.
    Forth,
    /// From the node that was dialed.
    Back,
}

impl Connection {
    /// Carries bytes between two sockets until both directions have ended.
    ///
    /// Shape: `ways` are those forth and back.
    pub(crate) fn carry(
        dialer: TcpStream,
        dialed: TcpStream,
        ways: [Arc<Way>; 2],
    ) -> io::Result<Arc<Self>> {
        dialer.set_nodelay(true)?;
        dialed.set_nodelay(true)?;
        let connection = Arc::new(Self { dialer, dialed, is_cut: AtomicBool::new(false) });
        for (direction, way) in [Direction::Forth, Direction::Back].into_iter().zip(ways) {
            let connection = connection.clone();
            thread::spawn(move || connection.pump(direction, &way));
        }
        Ok(connection)
    }

    /// Ends it with a reset of both sockets. Whoever waits on one of its ways has to be woken.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        for socket in [&self.dialer, &self.dialed] {
            // A socket that was reset already needs none of this. The end of reading tells the other
            // side nothing, and ends the thread; closing does the rest.
            let _ = set_socket_linger(socket, Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read);
        }
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    /// Tells the receiver of one direction that nothing more comes; the other direction goes on.
    pub(crate) fn half_close(&self, direction: Direction) {
        // A socket that was reset already is closed more than that.
        let _ = self.sockets(direction).1.shutdown(Shutdown::Write);
    }

    fn pump(self: &Arc<Self>, direction: Direction, way: &Way) {
        let (mut from, mut to) = self.sockets(direction);
        let (mut piece, mut offset) = (vec![0; PIECE_BYTES], 0);
        loop {
            match from.read(&mut piece) {
                Ok(0) if self.is_cut() => return,
                Ok(0) => return self.half_close(direction),
                Ok(count) => {
                    let bytes = &mut piece[..count];
                    if !way.pass(offset, bytes, self) {
                        return;
                    }
                    offset += count as u64;
                    if to.write_all(bytes).is_err() {
                        // Half closed by us: the sender notices when the receiver closes the other
                        // half. Reset by the receiver: the other direction's thread sees that too.
                        return;
                    }
                }
                Err(_) => return self.cut(),
            }
        }
    }

    /// Where a direction's bytes come from, and where they go to.
    fn sockets(&self, direction: Direction) -> (&TcpStream, &TcpStream) {
        match direction {
            Direction::Forth => (&self.dialer, &self.dialed),
            Direction::Back => (&self.dialed, &self.dialer),
        }
    }
}
