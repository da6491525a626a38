//! How data files are encoded.

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;
use tracehound_schema::{Dataset, ENTITY_MAPPING_VERSION, SCHEMA_VERSION};

use super::sort_text;

const ROW_GROUP_ROWS: usize = 131_072;
const STATISTICS_BYTES_MAX: usize = 64;
/// A flush is on the way of ingest; what it writes is merged soon.
const FLUSH_ZSTD_LEVEL: i32 = 1;
const MERGE_ZSTD_LEVEL: i32 = 6;
/// How often a promoted column's bloom may hold a value that its row group does not.
const PROMOTED_FALSE_POSITIVES: f64 = 0.05;

/// Times and lengths: nearly all differ, so that a dictionary only adds to them.
const DISTINCT: [(&str, Encoding); 4] = [
    ("start_time", Encoding::DELTA_BINARY_PACKED),
    ("end_time", Encoding::DELTA_BINARY_PACKED),
    ("observed_time", Encoding::DELTA_BINARY_PACKED),
    ("duration_ns", Encoding::BYTE_STREAM_SPLIT),
];
/// Ids that are random and rarely in a row group twice.
const RANDOM: [&str; 2] = ["span_id", "parent_span_id"];

/// How files of a dataset are written by a flush.
pub(super) fn of_flush(dataset: Dataset) -> WriterProperties {
    build(dataset, FLUSH_ZSTD_LEVEL, "1").build()
}

/// How merged files are written: a format that tells of promoted columns and `_commit`.
///
/// `many_values` are promoted columns with many distinct values, which get bloom filters; `rows` bounds their size.
pub(super) fn of_merge(dataset: Dataset, rows: u64, many_values: &[String]) -> WriterProperties {
    let mut properties = build(dataset, MERGE_ZSTD_LEVEL, "2");
    for name in many_values {
        properties = properties
            .set_column_bloom_filter_enabled(column(name), true)
            .set_column_bloom_filter_fpp(column(name), PROMOTED_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(column(name), rows.clamp(1, ROW_GROUP_ROWS as u64));
    }
    properties.build()
}

fn column(name: &str) -> ColumnPath {
    ColumnPath::new(vec![name.to_owned()])
}

fn build(dataset: Dataset, zstd_level: i32, format: &str) -> WriterPropertiesBuilder {
    let pair = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let mut properties = WriterProperties::builder()
        // Version 1 has no dictionaries of ids.
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(format!("tracehound {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level).unwrap_or_default()))
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_column_index_truncate_length(Some(STATISTICS_BYTES_MAX))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_key_value_metadata(Some(vec![
            pair("tracehound.format", format.to_owned()),
            pair("tracehound.dataset", dataset.to_string()),
            pair("tracehound.schema", SCHEMA_VERSION.to_string()),
            pair("tracehound.mapping", ENTITY_MAPPING_VERSION.to_string()),
            pair("tracehound.sort", sort_text(dataset)),
        ]));
    let schema = dataset.schema();
    for (name, encoding) in DISTINCT {
        // Points of a metric share their times, and a dictionary then pays.
        if dataset != Dataset::Metrics && schema.index_of(name).is_ok() {
            properties = properties
                .set_column_dictionary_enabled(column(name), false)
                .set_column_encoding(column(name), encoding);
        }
    }
    if dataset == Dataset::Logs {
        properties = properties
            .set_column_dictionary_enabled(column("time"), false)
            .set_column_encoding(column("time"), Encoding::DELTA_BINARY_PACKED);
    }
    if dataset == Dataset::Spans {
        for name in RANDOM {
            properties = properties
                .set_column_dictionary_enabled(column(name), false)
                .set_column_encoding(column(name), Encoding::PLAIN);
        }
        // Each is in a file once: nothing compresses them.
        properties = properties.set_column_compression(column("span_id"), Compression::UNCOMPRESSED);
    }
    properties
}
