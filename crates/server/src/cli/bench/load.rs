//! The clients: a few threads that each let many of them ask, wait, and ask again.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::distribution::Sampler;
use super::error::BenchError;
use super::keys::{Draw, Keys, Operation};
use super::options::Load;
use super::tally::{Done, Tally};
use super::window::{GRACE, Window};

/// One client's way to whom it loads.
pub(crate) trait Link: Send + 'static {
    /// Which node serves a slot, by a number.
    fn place(&self, slot: u16) -> usize;

    /// Asks for operations that are all of one place, and waits for what becomes of them; tells it
    /// to `told`, each operation once.
    fn perform(&mut self, operations: &[Operation], told: &Told)
    -> impl Future<Output = ()> + Send;
}

/// Where the clients of a thread tell what they were told.
#[derive(Debug)]
pub(crate) struct Told {
    window: Arc<Window>,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    tally: Tally,
    /// Operations that were asked for and have not come back.
    under_way: u64,
}

impl Told {
    /// Nothing yet.
    pub(crate) fn new(window: Arc<Window>) -> Self {
        Self { window, state: Mutex::default() }
    }

    /// Operations are asked for.
    pub(crate) fn asked(&self, count: usize) {
        self.state.lock().under_way += count as u64;
    }

    /// Operations were answered after `took`.
    pub(crate) fn done(&self, done: Done, took: Duration) {
        let count = done.reads + done.writes;
        self.window.came_back(count, 0);
        let mut state = self.state.lock();
        state.under_way = state.under_way.saturating_sub(count);
        if self.window.is_open() {
            state.tally.done(done, took);
        }
    }

    /// Operations failed.
    pub(crate) fn failed(&self, kind: &str, count: usize) {
        let count = count as u64;
        self.window.came_back(0, count);
        let mut state = self.state.lock();
        state.under_way = state.under_way.saturating_sub(count);
        // What is written before must not fail: whoever waits for it ends the run, and says why.
        if self.window.is_open() || self.window.is_filling() {
            state.tally.failed(kind, count);
        }
    }

    /// A node said so often that another one serves the key.
    pub(crate) fn redirected(&self, count: usize) {
        if self.window.is_open() {
            self.state.lock().tally.redirects += count as u64;
        }
    }

    /// Whether it is over; then nobody tries again.
    pub(crate) fn is_over(&self) -> bool {
        self.window.is_closed()
    }

    /// All that was told; what is still under way will not be answered any more.
    pub(crate) fn end(&self) -> Tally {
        let mut state = self.state.lock();
        let under_way = std::mem::take(&mut state.under_way);
        state.tally.failed(NO_REPLY, under_way);
        state.tally.clone()
    }
}

/// The kind of error of what was not answered by the end.
const NO_REPLY: &str = "no reply";

/// Lets clients run on threads until the window closes; gives what each thread's were told.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn spawn<L: Link>(
    links: Vec<L>,
    keys: &Arc<Keys>,
    load: &Load,
    window: &Arc<Window>,
) -> Result<Vec<std::thread::JoinHandle<Tally>>, BenchError> {
    let system = |error| BenchError::System { doing: "start threads", error };
    let sampler = Sampler::new(load.distribution, load.keys);
    let mut shares: Vec<Vec<Client<L>>> = (0..load.threads).map(|_| Vec::new()).collect();
    let threads = shares.len();
    for (at, link) in links.into_iter().enumerate() {
        let draw = Draw::new(sampler, load.read_share, SEED.wrapping_mul(at as u64 + 1));
        let (keys, pipeline) = (Arc::clone(keys), load.pipeline);
        let fill_at_once = load.fill_at_once();
        let batch = Vec::new();
        shares[at % threads].push(Client { link, draw, keys, pipeline, fill_at_once, batch });
    }
    let mut handles = Vec::new();
    for clients in shares {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (runtime, window) = (runtime.map_err(system)?, Arc::clone(window));
        let fills = load.read_share > 0.0;
        let body = move || runtime.block_on(run(clients, window, fills));
        let thread = std::thread::Builder::new().name("bench-load".to_owned()).spawn(body);
        handles.push(thread.map_err(system)?);
    }
    Ok(handles)
}

/// What distinguishes the clients' dice.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

async fn run<L: Link>(clients: Vec<Client<L>>, window: Arc<Window>, fills: bool) -> Tally {
    let told = Arc::new(Told::new(Arc::clone(&window)));
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.run(Arc::clone(&told), Arc::clone(&window), fills));
    }
    tokio::select! {
        () = async { while running.join_next().await.is_some() {} } => {}
        () = given_up(&window) => {}
    }
    told.end()
}

/// Comes true when it has been over for longer than replies are waited for.
async fn given_up(window: &Window) {
    while !window.is_closed() {
        tokio::time::sleep(super::progress::INTERVAL).await;
    }
    tokio::time::sleep(GRACE).await;
}

struct Client<L> {
    link: L,
    draw: Draw,
    keys: Arc<Keys>,
    pipeline: usize,
    fill_at_once: u32,
    batch: Vec<Operation>,
}

impl<L: Link> Client<L> {
    async fn run(mut self, told: Arc<Told>, window: Arc<Window>, fills: bool) {
        if fills {
            self.write_all_keys(&told, &window).await;
        }
        window.got_ready();
        while !window.is_closed() {
            self.batch.clear();
            let (link, keys) = (&self.link, &self.keys);
            self.draw.fill(&mut self.batch, self.pipeline, |key| link.place(keys.slot(key)));
            told.asked(self.batch.len());
            self.link.perform(&self.batch, &told).await;
        }
    }

    /// Writes its part of all keys once.
    async fn write_all_keys(&mut self, told: &Told, window: &Window) {
        while let Some(keys) = window.take_keys(self.keys.count(), self.fill_at_once) {
            let mut by_place: BTreeMap<usize, Vec<Operation>> = BTreeMap::new();
            for key in keys {
                let place = self.link.place(self.keys.slot(key));
                by_place.entry(place).or_default().push(Operation { key, is_read: false });
            }
            for operations in by_place.values() {
                if window.is_closed() {
                    return;
                }
                told.asked(operations.len());
                self.link.perform(operations, told).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    /// A server that answers nothing.
    struct Silent;

    impl Link for Silent {
        fn place(&self, _slot: u16) -> usize {
            0
        }

        fn perform(
            &mut self,
            _operations: &[Operation],
            _told: &Told,
        ) -> impl Future<Output = ()> + Send {
            future::pending()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_answered_is_given_up_and_counted() {
        let sampler = Sampler::new("uniform".parse().unwrap(), 4);
        let client = |seed| Client {
            link: Silent,
            draw: Draw::new(sampler, 0.0, seed),
            keys: Arc::new(Keys::new(4)),
            pipeline: 3,
            fill_at_once: 1,
            batch: Vec::new(),
        };
        let window = Arc::new(Window::default());
        window.open();
        let run = run(vec![client(1), client(2)], Arc::clone(&window), false);
        let over = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            window.close();
        };
        let ended = async { tokio::join!(run, over) };
        let bound = Duration::from_secs(3600);
        let (tally, ()) = tokio::time::timeout(bound, ended).await.expect("it is given up");
        assert_eq!(tally.errors, [(NO_REPLY.to_owned(), 6)].into());
        assert_eq!(tally.count(), 0);
    }
}
