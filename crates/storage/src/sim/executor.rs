//! Runs tasks on one thread, in an order that a seed decides, over a clock of its own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::sync::oneshot;
use ulid::Ulid;

use super::Rng;
use crate::runtime::Safeguard;
use crate::testing::NOW_NS;

/// A computer that can lose its power; 0 is the world outside, which does not.
pub(crate) type Node = u32;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How many polls a history may take; it hangs if it takes more.
const POLLS_MAX: u64 = 2_000_000;

thread_local! {
    static WORLD: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

struct World(Mutex<Inner>);

struct Inner {
    rng: Rng,
    /// Time since the beginning, as timers see it.
    now_ns: i64,
    /// What wall clocks show at the beginning; changes when they jump.
    epoch_ns: i64,
    tasks: BTreeMap<u64, Task>,
    ready: Vec<u64>,
    timers: BTreeMap<(i64, u64), Waker>,
    next: u64,
    current: Option<(u64, Node)>,
    killed: Vec<Node>,
    /// A task waits for a future as one that blocks: nothing else runs.
    blocked: bool,
    without: Option<Safeguard>,
    hash: u64,
    print: bool,
}

struct Task {
    node: Node,
    /// `None` while it is polled.
    future: Option<Boxed>,
}

struct TaskWaker {
    world: Arc<World>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut inner = self.world.lock();
        if inner.tasks.contains_key(&self.id) && !inner.ready.contains(&self.id) {
            inner.ready.push(self.id);
        }
    }
}

impl World {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the world back to none, also when a history panics.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        WORLD.with(|world| world.borrow_mut().take());
    }
}

/// Runs a history to its end; also returns the hash of everything that happened in it.
///
/// With `SIM_TRACE` set in the environment, it is printed too.
pub(crate) fn run<T: Send + 'static>(seed: u64, main: impl Future<Output = T> + Send + 'static) -> (T, u64) {
    let inner = Inner {
        rng: Rng::new(seed),
        now_ns: 0,
        epoch_ns: NOW_NS,
        tasks: BTreeMap::new(),
        ready: Vec::new(),
        timers: BTreeMap::new(),
        next: 1,
        current: None,
        killed: Vec::new(),
        blocked: false,
        without: None,
        hash: 0xcbf2_9ce4_8422_2325,
        print: std::env::var_os("SIM_TRACE").is_some(),
    };
    let world = Arc::new(World(Mutex::new(inner)));
    WORLD.with(|current| {
        let before = current.borrow_mut().replace(Arc::clone(&world));
        assert!(before.is_none(), "a simulation in a simulation");
    });
    let _installed = Installed;
    let mut main = spawn_on(0, main);
    for _ in 0..POLLS_MAX {
        if let Ok(output) = main.output.try_recv() {
            // What is left is dropped while the world is still there.
            let left = std::mem::take(&mut world.lock().tasks);
            drop(left);
            let hash = world.lock().hash;
            return (output, hash);
        }
        world.step();
    }
    panic!("the history does not end");
}

impl World {
    /// Polls one task, or moves the clock to the next timer.
    fn step(self: &Arc<Self>) {
        let mut inner = self.lock();
        if inner.ready.is_empty() {
            let Some(((time, _), waker)) = inner.timers.pop_first() else { panic!("all tasks wait for each other") };
            inner.now_ns = inner.now_ns.max(time);
            drop(inner);
            waker.wake();
            return;
        }
        let count = inner.ready.len();
        let index = inner.rng.index(count);
        let id = inner.ready.swap_remove(index);
        let Some(task) = inner.tasks.get_mut(&id) else { return };
        let (node, future) = (task.node, task.future.take());
        let Some(mut future) = future else { return };
        inner.current = Some((id, node));
        inner.note(&[id]);
        drop(inner);

        let waker = Waker::from(Arc::new(TaskWaker { world: Arc::clone(self), id }));
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));

        let mut inner = self.lock();
        inner.current = None;
        let mut dropped = Vec::new();
        match (polled, inner.tasks.get_mut(&id)) {
            (Poll::Pending, Some(task)) => task.future = Some(future),
            // It ended, or was ended while it was polled.
            _ => {
                inner.tasks.remove(&id);
                dropped.push(future);
            }
        }
        for node in std::mem::take(&mut inner.killed) {
            let of_node: Vec<_> = inner.tasks.iter().filter(|(_, task)| task.node == node).map(|(id, _)| *id).collect();
            dropped.extend(of_node.iter().filter_map(|id| inner.tasks.remove(id)?.future));
        }
        drop(inner);
        drop(dropped);
    }
}

impl Inner {
    fn note(&mut self, values: &[u64]) {
        for byte in values.iter().flat_map(|value| value.to_le_bytes()) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn world() -> Arc<World> {
    WORLD.with(|world| world.borrow().clone()).expect("no simulation is running")
}

/// Whether this thread runs a simulation.
pub(crate) fn is_running() -> bool {
    WORLD.with(|world| world.borrow().is_some())
}

/// Takes a safeguard away.
pub(crate) fn take_away(safeguard: Safeguard) {
    world().lock().without = Some(safeguard);
}

/// Whether a safeguard is taken away.
pub(crate) fn without(safeguard: Safeguard) -> bool {
    world().lock().without == Some(safeguard)
}

/// Writes down that something happened, so that two runs of a seed can be compared.
pub(crate) fn note(what: impl FnOnce() -> String) {
    let world = world();
    let mut inner = world.lock();
    let text = what();
    for byte in text.bytes() {
        inner.note(&[byte.into()]);
    }
    if inner.print {
        let node = inner.current.map_or(0, |(_, node)| node);
        println!("{:>14} node {node}: {text}", inner.now_ns);
    }
}

/// Starts a task where the current one runs.
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> Spawned<T> {
    let node = world().lock().current.map_or(0, |(_, node)| node);
    spawn_on(node, future)
}

/// Starts a task on a node.
pub(crate) fn spawn_on<T: Send + 'static>(node: Node, future: impl Future<Output = T> + Send + 'static) -> Spawned<T> {
    let (sender, output) = oneshot::channel();
    let future: Boxed = Box::pin(async move {
        // Nobody may wait for it.
        let _ = sender.send(future.await);
    });
    let world = world();
    let mut inner = world.lock();
    let id = inner.next;
    inner.next += 1;
    inner.tasks.insert(id, Task { node, future: Some(future) });
    inner.ready.push(id);
    drop(inner);
    Spawned { world, id, output }
}

/// A task that was started.
pub(crate) struct Spawned<T> {
    world: Arc<World>,
    id: u64,
    output: oneshot::Receiver<T>,
}

impl<T> Spawned<T> {
    /// Ends it.
    pub(crate) fn abort(&self) {
        let task = self.world.lock().tasks.remove(&self.id);
        drop(task);
    }
}

impl<T> Future for Spawned<T> {
    /// An error if it was ended, or its node lost power.
    type Output = Result<T, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.output).poll(context)
    }
}

/// Ends all tasks of a node, as soon as the current one is done with its step.
pub(crate) fn kill(node: Node) {
    let world = world();
    let mut inner = world.lock();
    inner.note(&[u64::MAX, node.into()]);
    inner.killed.push(node);
}

/// Waits for a future while nothing else runs and no time passes.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let world = world();
    world.lock().blocked = true;
    let mut future = std::pin::pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            world.lock().blocked = false;
            return output;
        }
    }
    panic!("a blocked task waits for another");
}

/// Lets others run.
pub(crate) async fn pause() {
    let mut paused = world().lock().blocked;
    futures::future::poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits.
pub(crate) async fn sleep(duration: Duration) {
    let world = world();
    let nanos = i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    let (deadline, number) = {
        let mut inner = world.lock();
        inner.next += 1;
        (inner.now_ns.saturating_add(nanos), inner.next)
    };
    let timer = Timer { world, key: (deadline, number) };
    futures::future::poll_fn(|context| {
        let mut inner = timer.world.lock();
        if inner.now_ns >= deadline || inner.blocked {
            return Poll::Ready(());
        }
        inner.timers.insert(timer.key, context.waker().clone());
        Poll::Pending
    })
    .await;
}

struct Timer {
    world: Arc<World>,
    key: (i64, u64),
}

impl Drop for Timer {
    fn drop(&mut self) {
        let waker = self.world.lock().timers.remove(&self.key);
        drop(waker);
    }
}

/// What wall clocks show, nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let world = world();
    let inner = world.lock();
    inner.epoch_ns.saturating_add(inner.now_ns)
}

/// Puts all wall clocks forward, or back.
pub(crate) fn jump(nanos: i64) {
    note(|| format!("clocks jump by {nanos} ns"));
    let world = world();
    world.lock().epoch_ns += nanos;
}

/// A new id: unique, and the same in every run of a seed.
pub(crate) fn new_id() -> Ulid {
    let millis = u64::try_from(now_ns() / 1_000_000).unwrap_or_default();
    let random = (u128::from(random()) << 64) | u128::from(random());
    Ulid::from_parts(millis, random)
}

/// A number that the seed decides.
pub(crate) fn random() -> u64 {
    world().lock().rng.next()
}

/// Another sequence of numbers that the seed decides.
pub(crate) fn fork_rng() -> Rng {
    world().lock().rng.fork()
}
