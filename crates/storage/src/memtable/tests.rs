use tracehound_schema::Dataset;

use super::{Memtable, shrunk};
use crate::testing::{NOW_NS, batch, texts};

#[test]
fn many_small_batches_become_few_in_the_same_order() {
    let mut table = Memtable::default();
    let mut expected = Vec::new();
    for index in 0..3000 {
        // Large ones in between must not keep small ones apart for ever.
        let rows = if index % 7 == 0 { 40 } else { 1 };
        let names: Vec<_> = (0..rows).map(|row| format!("{index}.{row}")).collect();
        let values: Vec<_> = names.iter().map(|name| (NOW_NS, "shop", name.as_str())).collect();
        table.insert(Dataset::Spans, shrunk(batch(Dataset::Spans, &values, NOW_NS)));
        expected.extend(names);
    }
    let batches = table.batches(Dataset::Spans);
    assert!(batches.len() < 96, "{} batches", batches.len());
    let found: Vec<_> = batches.iter().flat_map(|batch| texts(batch, "name")).collect();
    assert_eq!(found, expected);
    let bytes: usize = batches.iter().map(|batch| batch.get_array_memory_size()).sum();
    assert_eq!(table.bytes(), bytes, "the account is true");
}

#[test]
fn shrinking_keeps_the_rows() {
    let rows = batch(Dataset::Spans, &[(NOW_NS, "shop", "a"), (NOW_NS, "shop", "b")], NOW_NS);
    let before = rows.clone();
    assert_eq!(shrunk(rows), before);
}
