"""What spans take: in ClickHouse's MergeTree, and column by column in Parquet files.

    spans.py clickhouse FOLDER    the spans of the flushed (not compacted) files below FOLDER, put into MergeTree
    spans.py parquet              the files whose names come on standard input, one a line

The table is the one that the OpenTelemetry Collector's ClickHouse exporter makes, with its codecs and indices, merged
with OPTIMIZE … FINAL. Prints lines of a name, a tab and a number: rows, bytes in all, and the bytes of each column.
"""

import json
import sys
import tempfile
from pathlib import Path

from chdb.session import Session

ATTRIBUTES = "Map(LowCardinality(String), String)"
TABLE = f"""
CREATE TABLE otel_traces (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String) CODEC(ZSTD(1)),
    SpanKind LowCardinality(String) CODEC(ZSTD(1)),
    ServiceName LowCardinality(String) CODEC(ZSTD(1)),
    ResourceAttributes {ATTRIBUTES} CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes {ATTRIBUTES} CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String) CODEC(ZSTD(1)),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes {ATTRIBUTES}) CODEC(ZSTD(1)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes {ATTRIBUTES}) CODEC(ZSTD(1)),
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_attr_key mapKeys(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_attr_value mapValues(ResourceAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_key mapKeys(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_span_attr_value mapValues(SpanAttributes) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_duration Duration TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toDate(Timestamp)
ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1
"""


def text(value: str) -> str:
    """An attribute's value as the exporter writes it; lists and bytes, which are rare, by their bytes."""
    fields = [f"{value}.string", f"toString({value}.int)", f"toString({value}.double)", f"toString({value}.bool)"]
    return f"coalesce({', '.join(fields)}, toString({value}.other), '')"


def attributes(column: str) -> str:
    return f"mapApply((k, v) -> (k, {text('v')}), {column})::{ATTRIBUTES}"


INSERT = f"""
INSERT INTO otel_traces SELECT
    start_time, lower(hex(trace_id)), lower(hex(span_id)), lower(hex(coalesce(parent_span_id, ''))),
    coalesce(trace_state, ''), name, initcap(lower(kind)), coalesce(service_name, ''), {attributes("resource")},
    coalesce(scope_name, ''), coalesce(scope_version, ''), {attributes("attributes")},
    greatest(duration_ns, 0), initcap(lower(status_code)), coalesce(status_message, ''),
    arrayMap(e -> e.time, events), arrayMap(e -> e.name, events),
    arrayMap(e -> {attributes("e.attributes")}, events),
    arrayMap(l -> lower(hex(l.trace_id)), links), arrayMap(l -> lower(hex(l.span_id)), links),
    arrayMap(l -> coalesce(l.trace_state, ''), links), arrayMap(l -> {attributes("l.attributes")}, links)
FROM file('%s/**/*.parquet', Parquet)
"""


def clickhouse(folder: Path) -> tuple[int, int, dict]:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        session = Session(f"{scratch}/clickhouse")
        session.query("CREATE DATABASE b ENGINE = Atomic")
        session.query("USE b")
        session.query("SET max_threads = 2, max_insert_threads = 1")
        session.query(TABLE)
        session.query(INSERT % folder)
        session.query("OPTIMIZE TABLE otel_traces FINAL")
        parts = "FROM system.parts WHERE active AND database = 'b' AND table = 'otel_traces'"
        columns = "FROM system.columns WHERE database = 'b' AND table = 'otel_traces'"
        total = rows(session, f"SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes, "
                              f"sum(secondary_indices_compressed_bytes) AS indices {parts}")[0]
        by_column = rows(session, f"SELECT name, data_compressed_bytes AS bytes {columns}")
        session.close()
    columns = {row["name"]: int(row["bytes"]) for row in by_column} | {"(indices)": int(total["indices"])}
    return int(total["rows"]), int(total["bytes"]), columns


def parquet(files: list[str]) -> tuple[int, int, dict]:
    session = Session()
    columns: dict[str, int] = {}
    count = size = 0
    for file in files:
        found = rows(session, f"SELECT num_rows, columns.path AS paths, columns.total_compressed_size AS bytes "
                              f"FROM file('{file}', ParquetMetadata)")[0]
        count += int(found["num_rows"])
        size += Path(file).stat().st_size
        for path, column in zip(found["paths"], found["bytes"], strict=True):
            # A promoted attribute's column has dots in its name; in others they lead into the column's parts.
            name = path if path.startswith("attr") and not path.startswith("attributes.") else path.split(".")[0]
            columns[name] = columns.get(name, 0) + int(column)
    session.close()
    return count, size, columns


def rows(session: Session, sql: str) -> list[dict]:
    return [json.loads(line) for line in str(session.query(sql, "JSONEachRow")).splitlines()]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["clickhouse", folder]:
            count, size, columns = clickhouse(Path(folder).resolve())
        case ["parquet"]:
            count, size, columns = parquet(sys.stdin.read().splitlines())
        case _:
            sys.exit(__doc__)
    for name, number in [("rows", count), ("bytes", size), *columns.items()]:
        print(f"{name}\t{number}")
