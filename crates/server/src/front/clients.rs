//! Who is connected, and what CLIENT says of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::service::Ask;
use crate::data::CommandError;
use crate::data::error::quote;
use crate::resp::number::parse_integer;
use crate::resp::{Args, Protocol, Reply};

/// A connection as others see it.
#[derive(Debug)]
pub struct Client {
    /// Its number, never used again.
    pub id: u64,
    pub(super) peer: String,
    local: String,
    since: Instant,
    memory: Memory,
    about: Mutex<About>,
}

/// What a client holds, and whether that is too much.
#[derive(Debug, Default)]
struct Memory {
    bytes: AtomicUsize,
    is_evicted: AtomicBool,
    evicted: Notify,
}

#[derive(Debug)]
struct About {
    name: String,
    lib_name: String,
    lib_ver: String,
    last_command: &'static str,
    last_seen: Instant,
    protocol: Protocol,
    is_readonly: bool,
}

impl Client {
    /// Takes note of what it asked last.
    pub(crate) fn asked(&self, command: &'static str, protocol: Protocol) {
        let mut about = self.about.lock();
        about.last_command = command;
        about.last_seen = Instant::now();
        about.protocol = protocol;
    }

    /// Names it; an empty name is none.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub(crate) fn set_name(&self, name: &[u8]) -> Result<(), Reply> {
        let name = printable(name).ok_or_else(|| {
            Reply::error("ERR Client names cannot contain spaces, newlines or special characters.")
        })?;
        name.clone_into(&mut self.about.lock().name);
        Ok(())
    }

    /// Whether READONLY is in force.
    pub(crate) fn set_readonly(&self, is_readonly: bool) {
        self.about.lock().is_readonly = is_readonly;
    }

    /// Forgets what the client said of itself.
    pub(crate) fn reset(&self) {
        let mut about = self.about.lock();
        about.name.clear();
        about.is_readonly = false;
    }

    /// How many bytes of memory it holds, as it said last.
    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes.load(Ordering::Relaxed)
    }

    /// Comes true when it has to go, because it holds more than any other and there is too little
    /// for all.
    pub(crate) async fn evicted(&self) {
        self.memory.evicted.notified().await;
    }

    fn is_evicted(&self) -> bool {
        self.memory.is_evicted.load(Ordering::Relaxed)
    }

    fn evict(&self) {
        self.memory.is_evicted.store(true, Ordering::Relaxed);
        self.memory.evicted.notify_one();
    }

    /// One line of CLIENT LIST.
    fn describe(&self, out: &mut String) {
        let about = self.about.lock();
        let flags = if about.is_readonly { "r" } else { "N" };
        let written = writeln!(
            out,
            "id={} addr={} laddr={} name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 \
             multi=-1 tot-mem={} cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
            self.id,
            self.peer,
            self.local,
            about.name,
            self.since.elapsed().as_secs(),
            about.last_seen.elapsed().as_secs(),
            self.bytes(),
            about.last_command,
            about.protocol.number(),
            about.lib_name,
            about.lib_ver,
        );
        written.expect("a string takes everything");
    }
}

/// All connections of a node.
#[derive(Debug)]
pub struct Clients {
    max: usize,
    bytes_max: usize,
    /// What all hold together.
    bytes: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last_id: u64,
    list: BTreeMap<u64, Arc<Client>>,
}

/// A connection's place in the list, given back when dropped.
#[derive(Debug)]
pub struct Seat {
    client: Arc<Client>,
    clients: Arc<Clients>,
}

impl Seat {
    /// Who sits there.
    pub const fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Takes note of how many bytes of memory the client holds from now on. If that makes it too
    /// much for all together, those who hold most are told to go.
    pub(crate) fn hold(&self, bytes: usize) {
        let before = self.client.memory.bytes.swap(bytes, Ordering::Relaxed);
        let all = &self.clients.bytes;
        if bytes < before {
            all.fetch_sub(before - bytes, Ordering::Relaxed);
        } else if bytes > before {
            let sum = all.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before);
            if sum > self.clients.bytes_max {
                self.clients.evict_largest();
            }
        }
    }

    /// Waits until those who were told to go have gone, if all together hold too much until then.
    /// Otherwise everybody who has something to do would take more before they get to leave.
    pub(crate) async fn room(&self) {
        while self.clients.bytes() > self.clients.bytes_max {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hold(0);
        self.clients.inner.lock().list.remove(&self.client.id);
    }
}

impl Clients {
    /// None yet, never more than `max`, and none that make all together hold more than `bytes_max`.
    pub(crate) const fn new(max: usize, bytes_max: usize) -> Self {
        let inner = Inner { last_id: 0, list: BTreeMap::new() };
        Self { max, bytes_max, bytes: AtomicUsize::new(0), inner: Mutex::new(inner) }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.lock().list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there may be.
    pub const fn max(&self) -> usize {
        self.max
    }

    /// How many bytes of memory they hold together.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tells those who hold most to go, until what the others hold is not too much. Who has been told
    /// counts no more, gone or not: otherwise everybody would be told while the first one leaves.
    fn evict_largest(&self) {
        let inner = self.inner.lock();
        let staying = || inner.list.values().filter(|client| !client.is_evicted());
        let mut sum: usize = staying().map(|client| client.bytes()).sum();
        while sum > self.bytes_max
            && let Some(largest) = staying().max_by_key(|client| client.bytes())
        {
            sum = sum.saturating_sub(largest.bytes());
            largest.evict();
        }
    }

    /// Seats a connection, or not if all seats are taken.
    pub fn enter(self: &Arc<Self>, peer: String, local: String) -> Option<Seat> {
        let mut inner = self.inner.lock();
        if inner.list.len() >= self.max {
            return None;
        }
        inner.last_id += 1;
        let id = inner.last_id;
        let now = Instant::now();
        let about = About {
            name: String::new(),
            lib_name: String::new(),
            lib_ver: String::new(),
            last_command: "NULL",
            last_seen: now,
            protocol: Protocol::Resp2,
            is_readonly: false,
        };
        let client = Arc::new(Client {
            id,
            peer,
            local,
            since: now,
            memory: Memory::default(),
            about: Mutex::new(about),
        });
        inner.list.insert(id, Arc::clone(&client));
        drop(inner);
        Some(Seat { client, clients: Arc::clone(self) })
    }

    fn all(&self) -> Vec<Arc<Client>> {
        self.inner.lock().list.values().cloned().collect()
    }
}

/// A text of printable characters without spaces, as names must be.
fn printable(text: &[u8]) -> Option<&str> {
    let is_printable = text.iter().all(|byte| (b'!'..=b'~').contains(byte));
    std::str::from_utf8(text).ok().filter(|_| is_printable)
}

/// `CLIENT ID`
pub(crate) fn id(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    Reply::count64(ask.session.client.id)
}

/// `CLIENT GETNAME`
pub(crate) fn getname(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let about = ask.session.client.about.lock();
    if about.name.is_empty() { Reply::Null } else { Reply::text(&about.name) }
}

/// `CLIENT SETNAME name`
pub(crate) fn setname(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    ask.session.client.set_name(args.at(2)).map_or_else(|error| error, |()| Reply::OK)
}

/// `CLIENT SETINFO LIB-NAME|LIB-VER value`
pub(crate) fn setinfo(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let option = args.at(2);
    let mut about = ask.session.client.about.lock();
    let (field, name) = if option.eq_ignore_ascii_case(b"lib-name") {
        (&mut about.lib_name, "lib-name")
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        (&mut about.lib_ver, "lib-ver")
    } else {
        return Reply::error(format!("ERR Unrecognized option '{}'", quote(option, 64)));
    };
    match printable(args.at(3)) {
        Some(value) => {
            value.clone_into(field);
            Reply::OK
        }
        None => Reply::error(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        )),
    }
}

/// `CLIENT INFO`
pub(crate) fn client_info(ask: &mut Ask<'_>, _: Args<'_>) -> Reply {
    let mut text = String::new();
    ask.session.client.describe(&mut text);
    Reply::Verbatim(Bytes::from(text))
}

/// `CLIENT LIST [TYPE type | ID id ...]`
pub(crate) fn list(ask: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let chosen = match choose(args) {
        Ok(chosen) => chosen,
        Err(error) => return error,
    };
    let mut text = String::new();
    for client in ask.service.clients.all() {
        if chosen.as_ref().is_none_or(|ids| ids.contains(&client.id)) {
            client.describe(&mut text);
        }
    }
    Reply::Verbatim(Bytes::from(text))
}

/// Which connections are asked for; nothing stands for all.
fn choose(args: Args<'_>) -> Result<Option<Vec<u64>>, Reply> {
    let Some(option) = args.get(2) else {
        return Ok(None);
    };
    if option.eq_ignore_ascii_case(b"type") && args.len() == 4 {
        let kind = args.at(3);
        let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
        return if is("normal") {
            Ok(None)
        } else if is("master") || is("replica") || is("slave") || is("pubsub") {
            Ok(Some(Vec::new()))
        } else {
            Err(Reply::error(format!("ERR Unknown client type '{}'", quote(kind, 64))))
        };
    }
    if option.eq_ignore_ascii_case(b"id") && args.len() > 3 {
        let id = |text| parse_integer(text).and_then(|id| u64::try_from(id).ok());
        let ids: Option<Vec<u64>> = args.from(3).map(id).collect();
        return ids.map(Some).ok_or_else(|| Reply::error("ERR Invalid client ID"));
    }
    Err(CommandError::Syntax.into())
}

/// `CLIENT NO-EVICT ON|OFF`, `CLIENT NO-TOUCH ON|OFF`
pub(crate) fn on_off(_: &mut Ask<'_>, args: Args<'_>) -> Reply {
    let choice = args.at(2);
    if choice.eq_ignore_ascii_case(b"on") || choice.eq_ignore_ascii_case(b"off") {
        Reply::OK
    } else {
        CommandError::Syntax.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_most_has_to_go_and_nobody_else() {
        let clients = Arc::new(Clients::new(10, 100));
        let enter = || clients.enter("peer".to_owned(), "local".to_owned()).unwrap();
        let seats = [enter(), enter(), enter(), enter()];
        let evicted = || seats.each_ref().map(|seat| seat.client.is_evicted());
        for (seat, bytes) in seats.iter().zip([10, 60, 30, 0]) {
            seat.hold(bytes);
        }
        assert_eq!((clients.bytes(), evicted()), (100, [false; 4]));
        // Whoever exceeds the limit is not always the one who goes.
        seats[3].hold(1);
        assert_eq!(evicted(), [false, true, false, false]);
        // Until that one is gone the others have the room that it leaves.
        seats[0].hold(60);
        assert_eq!((clients.bytes(), evicted()), (151, [false, true, false, false]));
        seats[2].hold(40);
        assert_eq!(evicted(), [true, true, false, false]);
        drop(seats);
        assert_eq!((clients.bytes(), clients.len()), (0, 0));
    }
}
