use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use object_store::{ObjectStore, ObjectStoreExt};
use ulid::Ulid;

use super::{Claim, Failure, Lease, OBJECT, Times};
use crate::Error;
use crate::store::faulty::Faulty;

const RENEW: Duration = Duration::from_millis(100);
const TIMES: Times = Times { valid: Duration::from_millis(800), renew: RENEW, settle: Duration::from_millis(20) };

struct World {
    store: Faulty,
    now_ns: Arc<AtomicI64>,
}

impl World {
    fn new() -> Self {
        Self { store: Faulty::default(), now_ns: Arc::new(AtomicI64::new(1_795_361_400_000_000_000)) }
    }

    async fn take(&self, holder: &str, directory: u128) -> Result<Arc<Lease>, String> {
        let now_ns = Arc::clone(&self.now_ns);
        let clock: crate::Clock = Arc::new(move || now_ns.load(Ordering::SeqCst));
        let claim = Claim { holder: holder.to_owned(), directory: Ulid(directory), clock };
        let store: Arc<dyn ObjectStore> = Arc::new(self.store.clone());
        Lease::take(store, claim, TIMES).await.map_err(|failure| match failure {
            Failure::Held { holder, wait } => format!("{holder} for {} ms", wait.as_millis()),
            Failure::Unavailable(error) => error.to_string(),
        })
    }

    /// Lets time pass on both clocks.
    async fn pass(&self, time: Duration) {
        self.now_ns.fetch_add(i64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
        tokio::time::sleep(time).await;
    }
}

#[tokio::test]
async fn a_second_writer_is_refused_until_the_first_has_ended() {
    let world = World::new();
    let first = world.take("first", 1).await.unwrap();
    assert_eq!(world.take("second", 2).await.err().unwrap(), "first for 800 ms");
    first.check().unwrap();
    first.release().await;
    assert!(matches!(first.check(), Err(Error::Unavailable { .. })));
    let second = world.take("second", 2).await.unwrap();
    // Though the first still exists, it does not come back.
    world.pass(2 * RENEW).await;
    second.check().unwrap();
}

#[tokio::test]
async fn a_lease_is_renewed_as_long_as_its_writer_lives() {
    let world = World::new();
    let first = world.take("first", 1).await.unwrap();
    for _ in 0..12 {
        world.pass(RENEW).await;
        assert!(world.take("second", 2).await.is_err());
    }
    drop(first);
    world.pass(TIMES.valid + RENEW).await;
    world.take("second", 2).await.unwrap();
}

/// After a crash the same directory comes back at once: its lock says that the other is gone.
#[tokio::test]
async fn the_same_directory_takes_its_own_lease_over() {
    let world = World::new();
    let _before = world.take("before", 1).await.unwrap();
    world.take("after", 1).await.unwrap().check().unwrap();
}

#[tokio::test]
async fn who_lost_the_lease_stops_writing() {
    let world = World::new();
    let first = world.take("first", 1).await.unwrap();
    world.store.delete(&OBJECT.into()).await.unwrap();
    let second = world.take("second", 2).await.unwrap();
    world.pass(2 * RENEW).await;
    let error = first.check().unwrap_err();
    assert!(matches!(&error, Error::Poisoned { detail } if detail.contains("second")), "{error}");
    second.check().unwrap();
}

#[tokio::test]
async fn of_two_writers_that_start_together_at_most_one_stays() {
    let world = World::new();
    let (first, second) = tokio::join!(world.take("first", 1), world.take("second", 2));
    assert!(first.is_err() != second.is_err(), "{:?} {:?}", first.err(), second.err());
}
