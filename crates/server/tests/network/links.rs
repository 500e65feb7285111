//! The network between the nodes: each reaches each other by an address of ours.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::connection::{Connection, Direction};
use super::way::{Condition, Effects, Way};
use crate::processes::cluster::NODES;

/// How long a node that is dialed has to take the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// All ways between the nodes, and what is dialed over them.
pub(crate) struct Links {
    /// By sender and receiver.
    ways: [[Arc<Way>; NODES]; NODES],
    doors: Vec<Door>,
    pub(crate) effects: Arc<Effects>,
    is_over: Arc<AtomicBool>,
}

/// Where one node dials another.
struct Door {
    dialer: usize,
    dialed: usize,
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Weak<Connection>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Links {
    /// A network without any door.
    pub(crate) fn new() -> Self {
        let effects = Arc::<Effects>::default();
        let way = || Arc::new(Way::new(&effects));
        let ways = [0; NODES].map(|_| [0; NODES].map(|_| way()));
        Self { ways, doors: Vec::new(), effects, is_over: Arc::default() }
    }

    /// Makes an address by which `dialer` reaches `dialed`, whose own address is given.
    pub(crate) fn open_door(
        &mut self,
        dialer: usize,
        dialed: usize,
        target: SocketAddr,
    ) -> SocketAddr {
        let listener = TcpListener::bind((target.ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<Mutex<Vec<Weak<Connection>>>>::default();
        let ways = [self.way(dialer, dialed).clone(), self.way(dialed, dialer).clone()];
        let (known, is_over) = (connections.clone(), self.is_over.clone());
        let accept = move || {
            for dialer in listener.incoming().map_while(Result::ok) {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                // Nobody there: whoever has dialed sees that his connection is closed.
                let dialed = TcpStream::connect_timeout(&target, CONNECT_WITHIN);
                let carried =
                    dialed.and_then(|dialed| Connection::carry(dialer, dialed, ways.clone()));
                if let Ok(connection) = carried {
                    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
                    known.retain(|connection| connection.strong_count() > 0);
                    known.push(Arc::downgrade(&connection));
                }
            }
        };
        let thread = Some(thread::spawn(accept));
        self.doors.push(Door { dialer, dialed, address, connections, thread });
        address
    }

    /// The way of bytes from one node to another.
    pub(crate) fn way(&self, from: usize, to: usize) -> &Arc<Way> {
        &self.ways[from][to]
    }

    /// Sets every way from one of `from` to one of `to`.
    pub(crate) fn set(&self, from: &[usize], to: &[usize], condition: Condition) {
        for (sender, ways) in self.ways.iter().enumerate() {
            for (receiver, way) in ways.iter().enumerate() {
                if sender != receiver && from.contains(&sender) && to.contains(&receiver) {
                    way.set(condition);
                }
            }
        }
    }

    /// Everything passes from here on.
    pub(crate) fn heal(&self) {
        let all: Vec<usize> = (0..NODES).collect();
        self.set(&all, &all, Condition::Free);
    }

    /// Resets all connections between two nodes; tells how many there were.
    pub(crate) fn cut(&self, one: usize, other: usize) -> usize {
        let connections: Vec<Arc<Connection>> = self
            .doors_between(one, other)
            .flat_map(Door::connections)
            .filter(|connection| !connection.is_cut())
            .collect();
        connections.iter().for_each(|connection| connection.cut());
        self.way(one, other).wake();
        self.way(other, one).wake();
        connections.len()
    }

    /// Closes one direction, as seen by whoever dialed, of what one node has dialed to another; tells
    /// of how many connections.
    pub(crate) fn half_close(&self, dialer: usize, dialed: usize, direction: Direction) -> usize {
        let doors = self.doors.iter();
        let mut doors = doors.filter(|door| (door.dialer, door.dialed) == (dialer, dialed));
        let door = doors.next().expect("a door between any two nodes");
        let connections = door.connections();
        connections.iter().for_each(|connection| connection.half_close(direction));
        connections.len()
    }

    fn doors_between(&self, one: usize, other: usize) -> impl Iterator<Item = &Door> {
        let is_between =
            move |door: &&Door| [(one, other), (other, one)].contains(&(door.dialer, door.dialed));
        self.doors.iter().filter(is_between)
    }
}

impl Door {
    fn connections(&self) -> Vec<Arc<Connection>> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        for node in 0..NODES {
            for other in node + 1..NODES {
                self.cut(node, other);
            }
        }
        for door in &mut self.doors {
            // Wakes the thread, which sees that it is over.
            let _ = TcpStream::connect_timeout(&door.address, CONNECT_WITHIN);
            if let Some(thread) = door.thread.take() {
                let _ = thread.join();
            }
        }
    }
}
