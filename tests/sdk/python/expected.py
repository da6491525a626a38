"""Rows as `docs/format.md` defines them, computed from the OTLP message that the SDK serialises.

This is a second implementation of the mapping on purpose: it shares no code with the server.
"""

import datetime
import json
import math

KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
STATUS_CODES = ["UNSET", "OK", "ERROR"]
TEMPORALITIES = ["UNSPECIFIED", "DELTA", "CUMULATIVE"]
EXACT_INTEGER_MAX = 2**53


def rfc3339(ns: int) -> str:
    seconds, fraction = divmod(ns, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def time_or_none(ns: int) -> str | None:
    return rfc3339(ns) if ns else None


def integer(value: int) -> int | str:
    return value if abs(value) <= EXACT_INTEGER_MAX else str(value)


def double(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def any_value(value):
    match value.WhichOneof("value"):
        case None:
            return None
        case "int_value":
            return integer(value.int_value)
        case "double_value":
            return double(value.double_value)
        case "bytes_value":
            return value.bytes_value.hex()
        case "array_value":
            return [any_value(element) for element in value.array_value.values]
        case "kvlist_value":
            return attributes(value.kvlist_value.values)
        case kind:
            return getattr(value, kind)


def attributes(pairs) -> dict:
    return {pair.key: any_value(pair.value) for pair in pairs}


def origin(resource_group, scope_group) -> dict:
    resource, scope = resource_group.resource, scope_group.scope
    resource_attributes = attributes(resource.attributes)
    return {
        "service_name": resource_attributes.get("service.name"),
        "resource": resource_attributes,
        "resource_dropped_attributes_count": resource.dropped_attributes_count,
        "resource_schema_url": resource_group.schema_url or None,
        "scope_name": scope.name or None,
        "scope_version": scope.version or None,
        "scope": attributes(scope.attributes),
        "scope_dropped_attributes_count": scope.dropped_attributes_count,
        "scope_schema_url": scope_group.schema_url or None,
    }


def span_rows(request) -> list[dict]:
    return [
        span_row(span) | origin(resource_group, scope_group)
        for resource_group in request.resource_spans
        for scope_group in resource_group.scope_spans
        for span in scope_group.spans
    ]


def span_row(span) -> dict:
    return {
        "start_time": rfc3339(span.start_time_unix_nano),
        "end_time": rfc3339(span.end_time_unix_nano),
        "duration_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        "trace_id": span.trace_id.hex(),
        "span_id": span.span_id.hex(),
        "parent_span_id": span.parent_span_id.hex() or None,
        "trace_state": span.trace_state or None,
        "flags": span.flags,
        "name": span.name,
        "kind": KINDS[span.kind],
        "status_code": STATUS_CODES[span.status.code],
        "status_message": span.status.message or None,
        "events": [
            {
                "time": rfc3339(event.time_unix_nano),
                "name": event.name,
                "attributes": attributes(event.attributes),
                "dropped_attributes_count": event.dropped_attributes_count,
            }
            for event in span.events
        ]
        or None,
        "dropped_events_count": span.dropped_events_count,
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "trace_state": link.trace_state or None,
                "attributes": attributes(link.attributes),
                "dropped_attributes_count": link.dropped_attributes_count,
                "flags": link.flags,
            }
            for link in span.links
        ]
        or None,
        "dropped_links_count": span.dropped_links_count,
        "attributes": attributes(span.attributes),
        "dropped_attributes_count": span.dropped_attributes_count,
        "sample_weight": 1.0,
    }


def log_rows(request) -> list[dict]:
    return [
        log_row(record) | origin(resource_group, scope_group)
        for resource_group in request.resource_logs
        for scope_group in resource_group.scope_logs
        for record in scope_group.log_records
    ]


def log_row(record) -> dict:
    is_text = record.body.WhichOneof("value") in ("string_value", None)
    body = any_value(record.body)
    return {
        "time": rfc3339(record.time_unix_nano or record.observed_time_unix_nano),
        "observed_time": time_or_none(record.observed_time_unix_nano),
        "trace_id": record.trace_id.hex() or None,
        "span_id": record.span_id.hex() or None,
        "flags": record.flags,
        "severity_number": record.severity_number,
        "severity_text": record.severity_text or None,
        "event_name": record.event_name or None,
        "body": body if is_text or isinstance(body, str) else json.dumps(body),
        "body_other": None if is_text else record.body.SerializeToString().hex(),
        "attributes": attributes(record.attributes),
        "dropped_attributes_count": record.dropped_attributes_count,
        "time_flags": None if record.time_unix_nano else ["from_observed"],
    }


METRIC_COLUMNS = (
    "temporality is_monotonic value value_int count sum min max bucket_counts explicit_bounds scale zero_count"
    " zero_threshold positive_offset positive_bucket_counts negative_offset negative_bucket_counts quantiles"
).split()


def metric_rows(request) -> list[dict]:
    return [
        metric_row(metric, point) | origin(resource_group, scope_group)
        for resource_group in request.resource_metrics
        for scope_group in resource_group.scope_metrics
        for metric in scope_group.metrics
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]


def metric_row(metric, point) -> dict:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    row = dict.fromkeys(METRIC_COLUMNS) | {
        "time": rfc3339(point.time_unix_nano),
        "start_time": time_or_none(point.start_time_unix_nano),
        "name": metric.name,
        "description": metric.description or None,
        "unit": metric.unit or None,
        "metadata": attributes(metric.metadata),
        "kind": kind,
        "flags": point.flags,
        "attributes": attributes(point.attributes),
        "exemplars": [exemplar_row(exemplar) for exemplar in point.exemplars] or None,
    }
    if kind != "gauge":
        row["temporality"] = TEMPORALITIES[data.aggregation_temporality]
    if kind == "sum":
        row["is_monotonic"] = data.is_monotonic
    if kind in ("gauge", "sum"):
        row |= number(point)
        return row
    row["count"] = integer(point.count)
    for name in ("sum", "min", "max"):
        row[name] = double(getattr(point, name)) if point.HasField(name) else None
    if kind == "histogram":
        row["bucket_counts"] = [integer(count) for count in point.bucket_counts]
        row["explicit_bounds"] = list(point.explicit_bounds)
    else:
        row["scale"] = point.scale
        row["zero_count"] = integer(point.zero_count)
        row["zero_threshold"] = point.zero_threshold
        for side in ("positive", "negative"):
            buckets = getattr(point, side) if point.HasField(side) else None
            row[f"{side}_offset"] = None if buckets is None else buckets.offset
            row[f"{side}_bucket_counts"] = None if buckets is None else list(buckets.bucket_counts)
    return row


def number(point) -> dict:
    if point.WhichOneof("value") == "as_int":
        return {"value": float(point.as_int), "value_int": integer(point.as_int)}
    return {"value": double(point.as_double), "value_int": None}


def exemplar_row(exemplar) -> dict:
    return {
        "time": rfc3339(exemplar.time_unix_nano),
        **number(exemplar),
        "trace_id": exemplar.trace_id.hex() or None,
        "span_id": exemplar.span_id.hex() or None,
        "attributes": attributes(exemplar.filtered_attributes),
    }


def typed(value):
    """The value with the type of each number beside it: 1, 1.0 and true are equal in Python."""
    match value:
        case dict():
            return {key: typed(element) for key, element in value.items()}
        case list():
            return [typed(element) for element in value]
        case _:
            return type(value).__name__, value


def assert_rows(found: list[dict], wanted: list[dict], key: str):
    """Each wanted row was found exactly once, with equal values of equal types in all its columns."""
    assert sorted(row[key] for row in found) == sorted(row[key] for row in wanted)
    by_key = {row[key]: row for row in wanted}
    assert len(by_key) == len(wanted), f"{key} is not unique in what was sent"
    for row in found:
        assert typed(row) == typed(by_key[row[key]])
