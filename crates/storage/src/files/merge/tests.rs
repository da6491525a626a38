use std::fs;
use std::path::Path;

use arrow::array::Int64Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::Int64Type;
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::files::read::rows_schema;
use crate::files::sort::Sorter;
use crate::files::testing::{Map, Span, Value, map, spans};
use crate::files::{COMMIT, Needles, write};
use crate::testing::{NOW_NS, batch};

const MINUTE_NS: i64 = 60_000_000_000;

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn store(dir: &TempDir) -> Store {
    Store::local(dir.path()).unwrap()
}

/// Flushes rows, as entry `commit` would name them.
async fn flushed(store: &Store, rows: &[RecordBatch], dataset: Dataset, commit: u64) -> Vec<Arc<DataFile>> {
    let (store, rows) = (store.clone(), rows.to_vec());
    let written = tokio::task::spawn_blocking(move || write(&store, &tenant(), dataset, &rows, Origin::Live));
    live(written.await.unwrap().unwrap(), commit)
}

fn live(files: Vec<File>, commit: u64) -> Vec<Arc<DataFile>> {
    files.iter().map(|file| Arc::new(file.live(&tenant(), commit))).collect()
}

/// All rows of a file, as they were sent.
async fn read(store: &Store, file: &DataFile) -> Result<RecordBatch, Error> {
    let mut input = Input::open(store, file, 100).await?;
    let mut batches = Vec::new();
    while let Some(rows) = input.next().await? {
        batches.push(rows);
    }
    Ok(concat_batches(&rows_schema(file.dataset), &batches).unwrap())
}

/// The rows of files by name, which is unique.
async fn by_name(store: &Store, files: &[Arc<DataFile>]) -> RecordBatch {
    let dataset = files[0].dataset;
    let mut batches = Vec::new();
    for file in files {
        batches.push(read(store, file).await.unwrap());
    }
    let rows = concat_batches(&rows_schema(dataset), &batches).unwrap();
    let numbers = rows.column_by_name("name").unwrap().as_string::<i32>();
    let numbers: Int64Array = numbers.iter().map(|name| name.unwrap().parse::<i64>().ok()).collect();
    let order = arrow::compute::sort_to_indices(&numbers, None, None).unwrap();
    take_record_batch(&rows, &order).unwrap()
}

fn objects(dir: &TempDir) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => walk(&entry.path(), found),
                false => found.push(entry.path().display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    walk(dir.path(), &mut found);
    found.sort_unstable();
    found
}

fn options() -> MergeOptions {
    MergeOptions { promoted_rows_min: 2, ..MergeOptions::default() }
}

fn span() -> impl Strategy<Value = Span> {
    let time = prop_oneof![
        4 => (0..60_i64).prop_map(|minute| NOW_NS + minute * MINUTE_NS),
        1 => (0..4_i64).prop_map(|hour| NOW_NS - hour * Hour::LENGTH_NS),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)],
    ];
    let service = prop_oneof![Just("auth"), Just("billing"), Just("shop")];
    let user = prop_oneof![Just(None), "[a-z]{1,2}".prop_map(Some)];
    (time, service, 0..20_u8, user, map(), map()).prop_map(|(time_ns, service, trace, user, attributes, resource)| {
        Span { time_ns, service, name: String::new(), trace, user, attributes, resource }
    })
}

fn output() -> impl Strategy<Value = Output> {
    prop_oneof![
        Just(Output::Hours),
        Just(Output::Day),
        Just(Output::Split { rows_min: 3, own: [Hour::containing(0)].into(), hours_max: 2 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Flushed files, merged, and merged again: the same rows with their `_commit`, sorted, where
    /// they belong, and with sidecars that deny no value.
    #[test]
    fn merging_keeps_every_row(
        flushes in vec(vec(span(), 1..25), 1..5),
        first in output(),
        again in output(),
        file_bytes_max in prop_oneof![Just(1_u64), Just(u64::MAX)],
    ) {
        let mut number = 0;
        let mut name = |mut span: Span| { span.name = number.to_string(); number += 1; span };
        let flushes: Vec<Vec<_>> = flushes.into_iter().map(|spans| spans.into_iter().map(&mut name).collect()).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let store = store(&dir);
            let mut inputs = Vec::new();
            for (flush, commit) in flushes.iter().zip(1..) {
                inputs.extend(flushed(&store, &[spans(flush)], Dataset::Spans, commit).await);
            }
            let expected = by_name(&store, &inputs).await;
            let options = MergeOptions { file_bytes_max, ..options() };
            // Half of them are merged, then the result with the other half.
            let (some, rest) = inputs.split_at(inputs.len().div_ceil(2));
            let merged = merge(&store, &tenant(), Dataset::Spans, some, first.clone(), &options).await.unwrap();
            let mut once = live(merged, 90);
            check(&store, &once, &first).await;
            once.extend_from_slice(rest);
            assert_eq!(by_name(&store, &once).await, expected);
            let merged = merge(&store, &tenant(), Dataset::Spans, &once, again.clone(), &options).await.unwrap();
            let twice = live(merged, 91);
            check(&store, &twice, &again).await;
            assert_eq!(by_name(&store, &twice).await, expected);
        });
    }
}

/// What every merged file promises.
async fn check(store: &Store, files: &[Arc<DataFile>], output: &Output) {
    let needles = Needles::new(store.clone(), 1 << 20);
    let sorter = Sorter::new(Dataset::Spans).unwrap();
    for file in files {
        let rows = read(store, file).await.unwrap();
        assert_eq!(rows.num_rows() as u64, file.rows);
        let keys = sorter.keys(&rows).unwrap();
        assert!((1..keys.num_rows()).all(|row| keys.row(row - 1) <= keys.row(row)), "not sorted");
        let commits = rows.column_by_name(COMMIT).unwrap().as_primitive::<Int64Type>();
        let range = (arrow::compute::min(commits).unwrap(), arrow::compute::max(commits).unwrap());
        assert!(file.has_commit_column);
        assert_eq!((file.commits.0 as i64, file.commits.1 as i64), range);
        let path = file.path.as_ref();
        match output {
            Output::Hours => {
                assert!(path.contains(&format!("/hour={}/", file.hours.0)) && file.hours.0 == file.hours.1)
            }
            Output::Day => assert!(path.contains(&format!("/day={}/", &file.hours.1.to_string()[..10])), "{path}"),
            Output::Split { .. } => assert!(path.contains("/late/") || file.hours.0 == file.hours.1),
        }
        let traces = rows.column_by_name("trace_id").unwrap().as_fixed_size_binary();
        for trace in traces.iter().flatten() {
            assert!(needles.may_hold(file, "trace_id", &[&[99; 16], trace]).await);
        }
        for user in rows.column_by_name("user_id").unwrap().as_string::<i32>().iter().flatten() {
            assert!(needles.may_hold(file, "user_id", &[user.as_bytes()]).await);
        }
        let strangers = (100..=255_u8).map(|trace| [trace; 16]);
        let mut found = 0;
        for trace in strangers {
            found += u32::from(needles.may_hold(file, "trace_id", &[&trace]).await);
        }
        assert!(found <= 3, "{found} of 156 strangers");
        assert!(needles.may_hold(file, "service_name", &[b"nobody"]).await, "no bloom is no answer");
    }
}

fn named(names: std::ops::Range<u32>) -> Vec<Span> {
    let text = |key: &str, value: &str| (key.to_owned(), Value::Text(value.to_owned()));
    let attributes =
        |number: u32| -> Map { vec![text("http.route", "/v1"), ("size".to_owned(), Value::Int(number.into()))] };
    let span = |number: u32| Span {
        time_ns: NOW_NS + i64::from(number),
        service: "shop",
        name: number.to_string(),
        trace: 1,
        user: Some(format!("user-{number}")),
        attributes: attributes(number),
        resource: vec![text("service.name", "shop")],
    };
    names.map(span).collect()
}

/// Keys that rows share are columns of the merged file, and its overflow maps are empty.
#[tokio::test]
async fn frequent_keys_are_columns() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let inputs = flushed(&store, &[spans(&named(0..20))], Dataset::Spans, 7).await;
    let merged = merge(&store, &tenant(), Dataset::Spans, &inputs, Output::Hours, &options()).await.unwrap();
    let [file] = &merged[..] else { panic!("one hour, one file") };
    assert_eq!(file.commits, Some((7, 7)));
    let bytes = fs::read(store.name(&format!("tenant=acme/{}", file.path))).unwrap();
    let bytes = bytes::Bytes::from(bytes);
    let metadata = crate::testing::parquet_metadata(bytes.clone());
    let rows = crate::testing::read_parquet(bytes);
    let [rows] = &rows[..] else { panic!("one batch") };
    let schema = rows.schema();
    let own = Dataset::Spans.schema().fields().len();
    let names: Vec<_> = schema.fields()[own..].iter().map(|field| field.name().as_str()).collect();
    let expected = [
        "attr.attributes.http.route",
        "attr.attributes.size",
        "attr.resource.service.name",
        "attr.scope.test.name",
        "attr_order.attributes",
        "attr_order.resource",
        "attr_order.scope",
        COMMIT,
    ];
    assert_eq!(names, expected);
    assert_eq!(rows.column_by_name("attributes").unwrap().as_map().keys().len(), 0);
    let kept = tracehound_schema::promoted_columns(&metadata).unwrap();
    assert_eq!(kept.len(), 4);
    assert!(kept.iter().all(|promoted| !promoted.residual), "{kept:?}");
    assert_eq!(metadata["tracehound.format"], "2");
}

#[tokio::test]
async fn rows_can_be_left_out() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let inputs = flushed(&store, &[spans(&named(0..20))], Dataset::Spans, 7).await;
    let odd: Keep = Arc::new(|rows: &RecordBatch| {
        let names = rows.column_by_name("name").unwrap().as_string::<i32>();
        Ok(names.iter().map(|name| name.map(|name| name.parse::<u32>().unwrap() % 2 == 1)).collect())
    });
    let keep = MergeOptions { keep: Some(odd), ..options() };
    let merged = merge(&store, &tenant(), Dataset::Spans, &inputs, Output::Hours, &keep).await.unwrap();
    let kept = by_name(&store, &live(merged, 8)).await;
    assert_eq!(kept.num_rows(), 10);
    let none: Keep = Arc::new(|rows: &RecordBatch| Ok(BooleanArray::from(vec![false; rows.num_rows()])));
    let keep = MergeOptions { keep: Some(none), ..options() };
    let merged = merge(&store, &tenant(), Dataset::Spans, &inputs, Output::Hours, &keep).await.unwrap();
    assert_eq!(merged, []);
}

/// All datasets are merged; metrics by name first, so that several hours are open at a time.
#[tokio::test]
async fn every_dataset_can_be_merged() {
    for dataset in Dataset::ALL {
        let dir = TempDir::new().unwrap();
        let store = store(&dir);
        let mut inputs = Vec::new();
        for commit in 1..4_u32 {
            let hours = (0..5_i64).map(|hour| (NOW_NS + hour * Hour::LENGTH_NS + i64::from(commit), "shop", "a"));
            inputs.extend(
                flushed(&store, &[batch(dataset, &hours.collect::<Vec<_>>(), NOW_NS)], dataset, commit.into()).await,
            );
        }
        for output in [Output::Hours, Output::Day] {
            let merged = merge(&store, &tenant(), dataset, &inputs, output, &options()).await.unwrap();
            assert_eq!(merged.iter().map(|file| file.rows).sum::<u64>(), 15, "{dataset}");
            for file in live(merged, 9) {
                read(&store, &file).await.unwrap();
            }
        }
    }
}

/// What cannot be merged leaves nothing behind, and says which file it is.
#[tokio::test]
async fn a_damaged_input_is_named_and_nothing_is_left() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let mut inputs = flushed(&store, &[spans(&named(0..20))], Dataset::Spans, 1).await;
    inputs.extend(flushed(&store, &[spans(&named(20..900))], Dataset::Spans, 2).await);
    let path = store.name(inputs[1].path.as_ref());
    let sound = fs::read(&path).unwrap();
    let before = objects(&dir);
    let attempt = async |inputs: &[Arc<DataFile>]| {
        merge(&store, &tenant(), Dataset::Spans, inputs, Output::Hours, &options()).await
    };
    for damage in ["short", "gone", "zeros", "rows"] {
        let mut inputs = inputs.clone();
        match damage {
            "short" => fs::write(&path, &sound[..sound.len() - 1]).unwrap(),
            "gone" => fs::remove_file(&path).unwrap(),
            "zeros" => {
                let mut bytes = sound.clone();
                bytes[100..3000].fill(0);
                fs::write(&path, bytes).unwrap();
            }
            _ => inputs[1] = Arc::new(DataFile { rows: 3, ..DataFile::clone(&inputs[1]) }),
        }
        let error = attempt(&inputs).await.unwrap_err();
        assert!(matches!(&error, Error::Corrupt { path: named, .. } if *named == path), "{damage}: {error}");
        fs::write(&path, &sound).unwrap();
        assert_eq!(objects(&dir), before, "{damage}");
    }
    attempt(&inputs).await.unwrap();
}

/// Nobody waits for it any more: it stops, and removes what it wrote.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_merge_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let inputs = flushed(&store, &[spans(&named(0..20_000))], Dataset::Spans, 1).await;
    let before = objects(&dir);
    let slow: Keep = Arc::new(|rows: &RecordBatch| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        Ok(BooleanArray::from(vec![true; rows.num_rows()]))
    });
    let options = MergeOptions { keep: Some(slow), file_bytes_max: 1, ..options() };
    let tenant = tenant();
    let merging = merge(&store, &tenant, Dataset::Spans, &inputs, Output::Hours, &options);
    tokio::time::timeout(std::time::Duration::from_millis(60), merging).await.unwrap_err();
    for _ in 0..100 {
        if objects(&dir) == before {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("left: {:?}", objects(&dir));
}

/// A merge that would take more memory than it may is refused before it begins.
#[tokio::test]
async fn memory_is_bounded() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let inputs = flushed(&store, &[spans(&named(0..20))], Dataset::Spans, 1).await;
    let options = MergeOptions { memory_bytes: 1000, ..options() };
    let merged = merge(&store, &tenant(), Dataset::Spans, &inputs, Output::Hours, &options).await;
    assert!(matches!(merged, Err(Error::TooLarge { .. })), "{merged:?}");
}

/// A sidecar that is damaged, gone or of another file never changes an answer.
#[tokio::test]
async fn damaged_sidecars_deny_nothing() {
    let dir = TempDir::new().unwrap();
    let store = store(&dir);
    let inputs = flushed(&store, &[spans(&named(0..20))], Dataset::Spans, 1).await;
    let file = &inputs[0];
    let denied =
        async |file: &DataFile| !Needles::new(store.clone(), 1 << 20).may_hold(file, "user_id", &[b"nobody"]).await;
    assert!(denied(file).await);
    let path = store.name(file.sidecar.as_ref().unwrap().path.as_ref());
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(97) {
        let mut bytes = sound.clone();
        bytes[at] ^= 4;
        fs::write(&path, bytes).unwrap();
        assert!(!denied(file).await, "flipped at {at}");
    }
    fs::remove_file(&path).unwrap();
    assert!(!denied(file).await);
    let merged = merge(&store, &tenant(), Dataset::Spans, &inputs, Output::Hours, &options()).await.unwrap();
    assert!(!merged.is_empty(), "keys are counted without a sidecar");
    fs::write(&path, &sound).unwrap();
    let other = DataFile { rows: file.rows + 1, ..DataFile::clone(file) };
    assert!(!denied(&other).await);
}

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/format").join(name)
}

/// Merged files and sidecars of version 2 still open, and say the same.
#[tokio::test]
async fn the_merged_fixtures_open() {
    for dataset in Dataset::ALL {
        let rows = match dataset {
            Dataset::Spans => spans(&named(0..20)),
            _ => batch(dataset, &[(NOW_NS, "billing", "1"), (NOW_NS + 1, "billing", "2")], NOW_NS),
        };
        let dir = TempDir::new().unwrap();
        let store = store(&dir);
        let inputs = flushed(&store, &[rows], dataset, 3).await;
        let expected = read(&store, &inputs[0]).await.unwrap();
        let (data, index) = (fixture(&format!("{dataset}.v2.parquet")), fixture(&format!("{dataset}.v2.index")));
        if std::env::var_os("UPDATE_FIXTURES").is_some() {
            let merged = merge(&store, &tenant(), dataset, &inputs, Output::Hours, &options()).await.unwrap();
            fs::copy(store.name(&format!("tenant=acme/{}", merged[0].path)), &data).unwrap();
            fs::copy(store.name(&format!("tenant=acme/{}", merged[0].sidecar.as_ref().unwrap().path)), &index).unwrap();
        }
        let object = store.name("fixture.parquet");
        fs::copy(&data, &object).unwrap();
        let bytes = fs::metadata(&data).unwrap().len();
        let file = DataFile { path: "fixture.parquet".into(), bytes, ..DataFile::clone(&inputs[0]) };
        assert_eq!(read(&store, &file).await.unwrap(), expected, "{dataset}");
        let sidecar = sidecar::Sidecar::decode(&index, &fs::read(&index).unwrap().into()).unwrap();
        assert_eq!((sidecar.header.dataset, sidecar.header.rows), (dataset, expected.num_rows() as u64));
        if dataset == Dataset::Spans {
            let bloom = sidecar.bloom("user_id").unwrap();
            assert!(bloom.check("user-7") && !bloom.check("nobody"));
            let route = sidecar.header.attributes.iter().find(|count| count.key == "http.route").unwrap();
            assert_eq!((route.string, route.rows()), (20, 20));
            let distinct = sidecar.header.blooms.iter().find(|bloom| bloom.column == "user_id").unwrap().distinct;
            assert!((18..=22).contains(&distinct), "{distinct}");
        }
    }
}
