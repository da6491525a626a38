use std::sync::atomic::{AtomicBool, Ordering};

use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Failure, StoreProbe, probe};
use crate::store::faulty::{Faulty, State};

async fn found(fault: Option<fn(&State) -> &AtomicBool>) -> Result<StoreProbe, String> {
    let store = Faulty::default();
    if let Some(fault) = fault {
        Faulty::set(fault(&store.state));
    }
    let outcome = probe(&store).await;
    for flag in [&store.state.lists_nothing, &store.state.is_down] {
        flag.store(false, Ordering::SeqCst);
    }
    if outcome.is_ok() {
        assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap(), [], "the probe left something");
    }
    outcome.map_err(|failure| match failure {
        Failure::Unusable(detail) => detail,
        Failure::Unavailable(error) => error.to_string(),
    })
}

#[tokio::test]
async fn a_store_that_tells_the_truth_passes_and_keeps_nothing() {
    assert_eq!(found(None).await.unwrap().single_writer, None);
}

#[tokio::test]
async fn a_store_that_creates_an_object_twice_is_found_out() {
    let why = found(Some(|state| &state.ignores_create)).await.unwrap().single_writer.unwrap();
    assert_eq!(why, "16 of 16 writers that raced created the same object");
}

#[tokio::test]
async fn a_store_that_answers_wrongly_or_not_at_all_is_refused() {
    let error = found(Some(|state| &state.garbles)).await.unwrap_err();
    assert!(error.contains("right after writing"), "{error}");
    let error = found(Some(|state| &state.lists_nothing)).await.unwrap_err();
    assert!(error.contains("a listing lacks"), "{error}");
    let error = found(Some(|state| &state.is_down)).await.unwrap_err();
    assert!(error.contains("told to fail"), "{error}");
}

/// Failed requests are no lies: a probe says that nobody answered, or passes.
#[tokio::test]
async fn failures_are_not_taken_for_lies() {
    let (mut passed, mut unavailable) = (0, 0);
    for percent in [1, 2, 5, 20] {
        for _ in 0..20 {
            let store = Faulty::default();
            // Another seed each time.
            for _ in 0..passed + unavailable {
                let _ = store.head(&"x".into()).await;
            }
            store.state.fails_percent.store(percent, Ordering::SeqCst);
            match probe(&store).await {
                Ok(found) => {
                    assert_eq!(found.single_writer, None);
                    passed += 1;
                }
                Err(Failure::Unavailable(_)) => unavailable += 1,
                Err(Failure::Unusable(detail)) => panic!("{detail}"),
            }
        }
    }
    assert!(passed > 0 && unavailable > 0, "{passed} passed, {unavailable} unavailable");
}
