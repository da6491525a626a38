use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;
use tracehound_schema::{Dataset, Hour};

use super::{HOURS_MAX, write};
use crate::Origin;
use crate::files::sort_text;
use crate::manifest::File;
use crate::store::Store;
use crate::testing::{NOW_NS, batch, read_parquet, texts};

const MINUTE_NS: i64 = 60_000_000_000;

fn write_all(store: &Store, dataset: Dataset, batches: &[RecordBatch]) -> Vec<File> {
    let tenant = "acme".parse().unwrap();
    write(store, &tenant, dataset, batches, Origin::Live).unwrap()
}

fn read(store: &Store, file: &File) -> Vec<RecordBatch> {
    let bytes = fs::read(store.name(&format!("tenant=acme/{}", file.path))).unwrap();
    read_parquet(bytes.into())
}

#[test]
fn rows_are_sorted_by_slice_then_columns_and_stay_in_order_among_equals() {
    let dir = TempDir::new().unwrap();
    let store = Store::local(dir.path()).unwrap();
    let hour = Hour::containing(NOW_NS).start_ns();
    let first = batch(
        Dataset::Spans,
        &[(hour + 11 * MINUTE_NS, "a", "a"), (hour + 9 * MINUTE_NS, "b", "x"), (hour, "b", "y")],
        NOW_NS,
    );
    let second =
        batch(Dataset::Spans, &[(hour + 1, "b", "x"), (hour + 9 * MINUTE_NS, "a", "z"), (hour, "b", "y")], NOW_NS + 1);
    let files = write_all(&store, Dataset::Spans, &[first, second]);
    let [file] = &files[..] else { panic!("one hour, one file: {files:?}") };
    assert_eq!((file.rows, file.sort.as_str()), (6, "slice10m,service_name,name,start_time"));
    assert_eq!((file.event_time.0.0, file.event_time.1.0), (hour, hour + 11 * MINUTE_NS));
    assert_eq!((file.ingest_time.0.0, file.ingest_time.1.0), (NOW_NS, NOW_NS + 1));
    let rows = read(&store, file);
    assert_eq!(texts(&rows[0], "service_name"), ["a", "b", "b", "b", "b", "a"]);
    assert_eq!(texts(&rows[0], "name"), ["z", "x", "x", "y", "y", "a"]);
    let received = rows[0].column_by_name("ingest_time").unwrap().clone();
    let received = arrow::compute::cast(&received, &arrow::datatypes::DataType::Int64).unwrap();
    let received = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&received);
    assert_eq!((received.value(3), received.value(4)), (NOW_NS, NOW_NS + 1));
}

#[test]
fn files_carry_what_the_format_promises() {
    let dir = TempDir::new().unwrap();
    let store = Store::local(dir.path()).unwrap();
    let rows = batch(Dataset::Spans, &[(NOW_NS, "shop", "a")], NOW_NS);
    let files = write_all(&store, Dataset::Spans, &[rows]);
    let path = store.name(&format!("tenant=acme/{}", files[0].path));
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let file = reader.metadata().file_metadata();
    for (key, value) in [
        ("tracehound.format", "1"),
        ("tracehound.dataset", "spans"),
        ("tracehound.schema", "1"),
        ("tracehound.mapping", "1"),
        ("tracehound.sort", "slice10m,service_name,name,start_time"),
    ] {
        let found = file.key_value_metadata().unwrap().iter().find(|pair| pair.key == key);
        assert_eq!(found.and_then(|pair| pair.value.as_deref()), Some(value), "{key}");
    }
    for column in reader.metadata().row_group(0).columns() {
        assert!(column.column_index_offset().is_some(), "{} has no page index", column.column_path());
    }
}

/// Hours beyond the 48 fullest share one file, and no row is lost.
#[test]
fn late_hours_share_a_file() {
    let dir = TempDir::new().unwrap();
    let store = Store::local(dir.path()).unwrap();
    let hours = HOURS_MAX + 3;
    let mut rows = Vec::new();
    for hour in 0..hours {
        let time = i64::try_from(hour).unwrap() * Hour::LENGTH_NS;
        rows.push((time, "shop", "a"));
        if hour >= 3 {
            rows.push((time + 1, "shop", "b"));
        }
    }
    rows.push((i64::MIN, "shop", "odd"));
    let files = write_all(&store, Dataset::Spans, &[batch(Dataset::Spans, &rows, NOW_NS)]);
    assert_eq!(files.len(), HOURS_MAX + 1);
    let (late, own): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.path.starts_with("spans/late/"));
    assert!(own.iter().all(|file| file.rows == 2 && file.hours.0 == file.hours.1));
    assert_eq!((late.len(), late[0].rows), (1, 4));
    assert_eq!(late[0].hours, (Hour::containing(i64::MIN), Hour::containing(2 * Hour::LENGTH_NS)));
    assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), rows.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever the times: each row is in one file, within its hours, and files are sorted.
    #[test]
    fn every_row_is_in_one_file_where_it_belongs(
        times in vec(prop_oneof![any::<i64>(), 0..40 * Hour::LENGTH_NS], 1..150),
        split in 1..20_usize,
    ) {
        let dir = TempDir::new().unwrap();
        let store = Store::local(dir.path()).unwrap();
        let names: Vec<_> = (0..times.len()).map(|row| row.to_string()).collect();
        let service = |row: usize| ["a", "b", "c"][row * 7 % 3];
        let rows: Vec<_> = (0..times.len()).map(|row| (times[row], service(row), names[row].as_str())).collect();
        let batches: Vec<_> = rows.chunks(split).map(|rows| batch(Dataset::Spans, rows, NOW_NS)).collect();
        let mut found = Vec::new();
        for file in write_all(&store, Dataset::Spans, &batches) {
            let mut last = None;
            for name in read(&store, &file).iter().flat_map(|batch| texts(batch, "name")) {
                let row: usize = name.parse().unwrap();
                let hour = Hour::containing(times[row]);
                prop_assert!(file.hours.0 <= hour && hour <= file.hours.1);
                let own = format!("hour={hour}/");
                prop_assert!(file.path.contains("/late/") || file.path.contains(&own));
                let key = (times[row].div_euclid(10 * MINUTE_NS), service(row), name, times[row]);
                prop_assert!(last.as_ref() < Some(&key));
                last = Some(key);
                found.push(row);
            }
        }
        found.sort_unstable();
        prop_assert_eq!(found, (0..times.len()).collect::<Vec<_>>());
    }
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/format").join(name)
}

fn fixture_rows(dataset: Dataset) -> RecordBatch {
    batch(dataset, &[(NOW_NS, "billing", "list"), (NOW_NS + 1, "auth", "login")], NOW_NS)
}

/// Files of version 1, which are not written any more in every detail, still open, with their rows.
#[test]
fn the_parquet_fixtures_open() {
    for dataset in Dataset::ALL {
        let path = fixture(&format!("{dataset}.parquet"));
        let found = read_parquet(fs::read(&path).unwrap().into());
        let expected = fixture_rows(dataset);
        // Spans and logs are sorted by service; metrics by name, rejects by receipt.
        let by_service = matches!(dataset, Dataset::Spans | Dataset::Logs);
        let order = if by_service { [1, 0] } else { [0, 1] };
        let expected: Vec<_> = order.iter().map(|row| expected.slice(*row, 1)).collect();
        let expected = arrow::compute::concat_batches(&dataset.schema(), &expected).unwrap();
        assert_eq!(found, [expected], "{dataset}");
    }
}

/// The columns are the format: this fails if one changes.
#[test]
fn invariant_10_the_schemas_are_frozen() {
    let mut text = String::new();
    for dataset in Dataset::ALL {
        text += &format!("{dataset} by {}: {}\n", dataset.time_column(), sort_text(dataset));
        for column in dataset.columns() {
            let null = if column.nullable { "" } else { " not null" };
            text += &format!("  {}: {}{null}\n      {}\n", column.name, column.data_type, column.description);
        }
        text.push('\n');
    }
    let path = fixture("schemas.txt");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
