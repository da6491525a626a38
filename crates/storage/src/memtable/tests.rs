use tracehound_schema::Dataset;

use super::{Fate, Frame, Memtable, shrunk};
use crate::manifest::{Payload, Time};
use crate::testing::{NOW_NS, batch, texts};

fn insert(table: &mut Memtable, sequence: u64, rows: &[(i64, &str, &str)]) {
    let payload = Payload { h: [0; 16], t: Time(NOW_NS), a: rows.len() as u64, r: 0, m: String::new() };
    let spans = shrunk(batch(Dataset::Spans, rows, NOW_NS));
    let rejects = shrunk(batch(Dataset::IngestRejects, &rows[..rows.len() / 2], NOW_NS));
    table.insert(sequence, payload, [(Dataset::Spans, spans), (Dataset::IngestRejects, rejects)], NOW_NS);
}

#[test]
fn many_small_batches_become_few_in_the_same_order() {
    let mut table = Memtable::default();
    let mut expected = Vec::new();
    for index in 0..3000_u64 {
        // Large ones in between must not keep small ones apart for ever.
        let rows = if index % 7 == 0 { 40 } else { 1 };
        let names: Vec<_> = (0..rows).map(|row| format!("{index}.{row}")).collect();
        let values: Vec<_> = names.iter().map(|name| (NOW_NS, "shop", name.as_str())).collect();
        insert(&mut table, index, &values);
        expected.extend(names);
    }
    let batches = table.batches(Dataset::Spans);
    assert!(batches.len() < 96, "{} batches", batches.len());
    let found: Vec<_> = batches.iter().flat_map(|batch| texts(batch, "name")).collect();
    assert_eq!(found, expected);
    let both = || batches.iter().chain(table.batches(Dataset::IngestRejects));
    let bytes: usize = both().map(|batch| batch.get_array_memory_size()).sum();
    assert_eq!(table.bytes(), bytes + 3000 * size_of::<Frame>(), "the account is true");
}

#[test]
fn shrinking_keeps_the_rows() {
    let rows = batch(Dataset::Spans, &[(NOW_NS, "shop", "a"), (NOW_NS, "shop", "b")], NOW_NS);
    let before = rows.clone();
    assert_eq!(shrunk(rows), before);
}

#[test]
fn frames_that_are_stored_elsewhere_lose_their_rows_and_no_others() {
    let mut table = Memtable::default();
    let rows_of = |sequence: u64| (0..sequence % 5).map(move |row| format!("{sequence:03}.{row}"));
    for sequence in 1..=200 {
        let names: Vec<_> = rows_of(sequence).collect();
        let values: Vec<_> = names.iter().map(|name| (NOW_NS, "shop", name.as_str())).collect();
        insert(&mut table, sequence, &values);
    }
    let fate = |frame: &Frame| match frame.sequence {
        1..=20 | 200 => Fate::Covered,
        sequence if sequence % 3 == 0 => Fate::Elsewhere,
        _ => Fate::Stays,
    };
    // Again changes nothing: what went is not counted a second time.
    for _ in 0..2 {
        table.cut(fate);
        let stays = |sequence: &u64| (21..200).contains(sequence) && !sequence.is_multiple_of(3);
        let expected: Vec<_> = (1..=200).filter(stays).flat_map(rows_of).collect();
        let found: Vec<_> = table.batches(Dataset::Spans).iter().flat_map(|batch| texts(batch, "name")).collect();
        assert_eq!(found, expected);
        let rejects: usize = table.batches(Dataset::IngestRejects).iter().map(|batch| batch.num_rows()).sum();
        assert_eq!(rejects as u64, (1..=200).filter(stays).map(|sequence| sequence % 5 / 2).sum::<u64>());
        assert_eq!(table.sequences(), Some((21, 199)));
        assert_eq!(table.payloads().count(), (1..=200).filter(stays).count());
    }
}
