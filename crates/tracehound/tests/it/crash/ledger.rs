use std::collections::HashMap;
use std::ops::Range;

/// What was sent, and what of it was acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    requests: Vec<Request>,
    next_id: u64,
}

#[derive(Debug)]
struct Request {
    ids: Range<u64>,
    acknowledged: bool,
}

impl Ledger {
    /// A request of `spans` spans with ids that no other has: its number and the ids.
    pub(crate) fn new_request(&mut self, spans: u64) -> (usize, Range<u64>) {
        // An id of zero is no id.
        let first = self.next_id.max(1);
        self.next_id = first + spans;
        let ids = first..self.next_id;
        self.requests.push(Request { ids: ids.clone(), acknowledged: false });
        (self.requests.len() - 1, ids)
    }

    pub(crate) fn acknowledge(&mut self, number: usize) {
        self.requests[number].acknowledged = true;
    }

    /// The requests that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.requests.iter().filter(|request| request.acknowledged).count() as u64
    }

    /// Every acknowledged span is stored once; no other more than once, nor without the rest of its request.
    pub(crate) fn compare(&self, stored: impl Iterator<Item = u64>) -> Result<String, String> {
        let mut counts: HashMap<u64, u64> = HashMap::new();
        for id in stored {
            *counts.entry(id).or_default() += 1;
        }
        let (mut missing, mut doubled, mut torn) = (Vec::new(), Vec::new(), Vec::new());
        let (mut spans, mut lucky) = (0, 0);
        for (number, request) in self.requests.iter().enumerate() {
            let found = request.ids.clone().filter(|id| counts.contains_key(id)).count() as u64;
            let all = request.ids.end - request.ids.start;
            if request.acknowledged {
                spans += all;
                missing.extend(request.ids.clone().filter(|id| !counts.contains_key(id)));
            } else if found == all {
                lucky += 1;
            } else if found > 0 {
                torn.push(number);
            }
            doubled.extend(request.ids.clone().filter(|id| counts.get(id).is_some_and(|count| *count > 1)));
        }
        let sent = |id: &u64| (1..self.next_id).contains(id);
        let strange: Vec<_> = counts.keys().filter(|id| !sent(id)).collect();
        if missing.is_empty() && doubled.is_empty() && torn.is_empty() && strange.is_empty() {
            let unknown = self.requests.len() as u64 - self.acknowledged();
            return Ok(format!(
                "{spans} acknowledged spans in {} requests, each once; {lucky} of {unknown} unacknowledged requests are there",
                self.acknowledged()
            ));
        }
        let few = |ids: &[u64]| format!("{} {:?}", ids.len(), &ids[..ids.len().min(10)]);
        Err(format!(
            "missing: {}; doubled: {}; requests in part: {torn:?}; never sent: {strange:?}",
            few(&missing),
            few(&doubled)
        ))
    }
}

/// The control: the comparison sees what it is there to see.
#[test]
fn a_loss_and_a_double_are_seen() {
    let mut ledger = Ledger::default();
    let (first, ids) = ledger.new_request(3);
    assert_eq!(ids, 1..4);
    ledger.acknowledge(first);
    let (_, unknown) = ledger.new_request(2);
    assert_eq!(unknown, 4..6);
    let check = |stored: &[u64], expected: Option<&str>| {
        let found = ledger.compare(stored.iter().copied());
        match expected {
            None => assert!(found.is_ok(), "{stored:?}: {found:?}"),
            Some(part) => assert!(found.as_ref().is_err_and(|wrong| wrong.contains(part)), "{stored:?}: {found:?}"),
        }
    };
    check(&[1, 2, 3], None);
    check(&[3, 1, 2, 5, 4], None);
    check(&[1, 3], Some("missing: 1 [2]"));
    check(&[], Some("missing: 3 [1, 2, 3]"));
    check(&[1, 2, 2, 3], Some("doubled: 1 [2]"));
    check(&[1, 2, 3, 4, 5, 5], Some("doubled: 1 [5]"));
    check(&[1, 2, 3, 4], Some("requests in part: [1]"));
    check(&[1, 2, 3, 6], Some("never sent: [6]"));
}
