use super::{Begin, Figures, Recent, hash};
use crate::engine::Failure;
use crate::testing::spans;
use tracehound_schema::{Encoding, Payload, Signal};

const KEY: (u32, [u8; 16]) = (0, [1; 16]);

fn figures() -> Figures {
    Figures { accepted: 3, rejected: 1, message: "one".into() }
}

#[test]
fn a_retry_is_recognised_within_the_window_only() {
    let recent = Recent::new(100);
    recent.remember(KEY, 1000, figures());
    for received_at_ns in [900, 1000, 1100] {
        assert!(matches!(recent.begin(KEY, received_at_ns), Begin::Done(found) if found == figures()));
    }
    assert!(matches!(recent.begin((1, KEY.1), 1000), Begin::First(_)), "another tenant's");
    assert!(matches!(recent.begin(KEY, 1101), Begin::First(_)));
}

#[test]
fn what_is_past_the_window_takes_no_room() {
    let recent = Recent::new(100);
    for index in 0..1000_u32 {
        recent.remember((index, [0; 16]), i64::from(index), figures());
    }
    let inner = recent.lock();
    assert_eq!((inner.order.len(), inner.slots.len(), inner.forgotten), (101, 101, 0));
}

#[test]
fn a_failed_first_is_forgotten_and_its_retries_fail_alike() {
    let recent = Recent::new(100);
    let Begin::First(waiting) = recent.begin(KEY, 0) else { panic!("it is new") };
    let Begin::Wait(outcome) = recent.begin(KEY, 1) else { panic!("the first is in flight") };
    recent.finish(KEY, 0, Err(Failure::Closed), &waiting);
    assert!(matches!(&*outcome.borrow(), Some(Err(Failure::Closed))));
    assert!(matches!(recent.begin(KEY, 2), Begin::First(_)));
}

#[test]
fn the_hash_tells_signals_encodings_and_messages_apart() {
    let payload = spans("acme", &["a"]);
    let others = [
        Payload { signal: Signal::Logs, ..payload.clone() },
        Payload { encoding: Encoding::Json, ..payload.clone() },
        spans("acme", &["b"]),
    ];
    assert!(others.iter().all(|other| hash(other) != hash(&payload)));
    let later = Payload { received_at_ns: 5, ..payload.clone() };
    assert_eq!(hash(&later), hash(&payload));
}
