//! Nothing is lost on the way to rows and Parquet and back.

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use prost::Message;
use tracehound_otlp::{
    decode, encode_logs, encode_metrics, encode_traces, normalize_logs, normalize_metrics, normalize_traces,
};
use tracehound_schema::{DecodeLimits, Encoding, Signal};

use crate::to_json::ToJson;
use crate::{generate, payload, protobuf};

/// The rows of a request, after both encodings and Parquet were seen to agree.
fn rows<M: Message + ToJson>(signal: Signal, request: &M) -> RecordBatch {
    let limits = DecodeLimits::default();
    let of_protobuf = decode(&protobuf(signal, request), &limits).unwrap();
    assert_eq!(of_protobuf.rejected(), 0, "{}", of_protobuf.message);
    let json = request.to_json().to_string();
    let of_json = decode(&payload(signal, Encoding::Json, json), &limits).unwrap();
    assert_eq!(of_json.rows, of_protobuf.rows, "JSON and protobuf differ");
    let of_parquet = through_parquet(&of_protobuf.rows);
    assert_eq!(of_parquet.schema(), of_protobuf.rows.schema());
    assert_eq!(of_parquet, of_protobuf.rows, "Parquet changed the rows");
    of_parquet
}

fn through_parquet(rows: &RecordBatch) -> RecordBatch {
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    let file = Bytes::from(writer.into_inner().unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&rows.schema(), &batches).unwrap()
}

/// Compares as bytes, since NaN differs from itself.
#[track_caller]
fn assert_same<M: Message + std::fmt::Debug>(left: &M, right: &M) {
    assert!(left.encode_to_vec() == right.encode_to_vec(), "left: {left:#?}\nright: {right:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn traces_survive(request in generate::traces()) {
        let back = encode_traces(&rows(Signal::Traces, &request)).unwrap();
        assert_same(&normalize_traces(back), &normalize_traces(request));
    }

    #[test]
    fn logs_survive(request in generate::logs()) {
        let back = encode_logs(&rows(Signal::Logs, &request)).unwrap();
        assert_same(&normalize_logs(back), &normalize_logs(request));
    }

    #[test]
    fn metrics_survive(request in generate::metrics()) {
        let back = encode_metrics(&rows(Signal::Metrics, &request)).unwrap();
        assert_same(&normalize_metrics(back), &normalize_metrics(request));
    }

    #[test]
    fn decoding_what_was_encoded_gives_the_same_rows(request in generate::metrics()) {
        let first = rows(Signal::Metrics, &request);
        let again = rows(Signal::Metrics, &encode_metrics(&first).unwrap());
        prop_assert_eq!(first, again);
    }

    #[test]
    fn normal_form_is_stable(request in generate::traces()) {
        let once = normalize_traces(request);
        assert_same(&normalize_traces(once.clone()), &once);
    }
}
