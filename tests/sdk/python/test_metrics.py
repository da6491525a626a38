import json

import pytest
from expected import assert_rows, metric_rows
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.metrics import Observation
from opentelemetry.sdk import metrics as sdk
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

TEMPORALITIES = {"delta": AggregationTemporality.DELTA, "cumulative": AggregationTemporality.CUMULATIVE}
INSTRUMENTS = (sdk.Counter, sdk.UpDownCounter, sdk.Histogram, sdk.ObservableCounter, sdk.ObservableUpDownCounter)


def service(transport, temporality):
    return f"py-{transport.name}-{temporality}"


def send_metrics(transport, server, temporality):
    preferred = dict.fromkeys(INSTRUMENTS, TEMPORALITIES[temporality])
    exporter = transport.exporter("metrics", server, preferred_temporality=preferred)
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider(
        [reader],
        Resource({"service.name": service(transport, temporality), "cpus": 4}),
        exemplar_filter=AlwaysOnExemplarFilter(),
        shutdown_on_exit=False,
        views=[View(instrument_name="exponential.*", aggregation=ExponentialBucketHistogramAggregation(max_size=20))],
    )
    meter = provider.get_meter("meter.scope", "3.0", "https://example.org/metrics/1", {"tier": 3})
    span = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True, TraceFlags(1))
    inside = trace.set_span_in_context(NonRecordingSpan(span))

    logins = meter.create_counter("auth.login.attempts", "{attempt}", "logins tried")
    traffic = meter.create_counter("traffic", "By")
    open_sessions = meter.create_up_down_counter("sessions.open")
    duration = meter.create_histogram("duration", "s", explicit_bucket_boundaries_advisory=[0.1, 1.0, 10.0])
    sizes = meter.create_histogram("exponential.sizes", "By")
    temperature = meter.create_gauge("temperature", "Cel")
    meter.create_observable_gauge("queue.length", [lambda _: [Observation(5, {"queue": "a"}), Observation(-1, {"queue": "b"})]])
    meter.create_observable_counter("cpu.time", [lambda _: [Observation(12.5)]], "s")
    for _ in range(2):
        logins.add(3, {"user_id": "u-1", "source_region": "EU"}, inside)
        logins.add(2**60, {"user_id": "u-2", "source_region": "US"})
        traffic.add(0.5, {"bool": True, "int": 1, "double": 1.0, "list": ["a", "b"]})
        open_sessions.add(-4)
        for seconds in (0.05, 0.5, 5.0, 50.0):
            duration.record(seconds, {"route": "/invoices"}, inside)
        for size in (0, 1, 1000, 4096.5):
            sizes.record(size)
        temperature.set(-3.25, {"room": "1"})
        assert provider.force_flush()
    provider.shutdown()
    assert set(exporter.results) == {"SUCCESS"}
    return [row for data in exporter.sent for row in metric_rows(encode_metrics(data))]


@pytest.fixture(params=TEMPORALITIES)
def temporality(request):
    return request.param


@pytest.fixture
def sent(server, state, transport, temporality, once):
    return once(("metrics", transport, temporality), lambda: send_metrics(transport, server, temporality))


def identity(row):
    """Points have no id: name, attributes and time say which is which."""
    return row | {"identity": f"{row['name']} {json.dumps(row['attributes'], sort_keys=True)} {row['time']}"}


def test_the_rows_are_what_the_sdk_sent(server, sent, transport, temporality):
    columns = ", ".join(f'"{name}"' for name in sent[0])
    sql = f"SELECT {columns} FROM metrics WHERE service_name = $service"
    rows = server.query(sql, service=service(transport, temporality))
    assert_rows([identity(row) for row in rows], [identity(row) for row in sent], "identity")


def test_what_was_sent_is_worth_comparing(sent, temporality):
    assert {row["kind"] for row in sent} == {"sum", "gauge", "histogram", "exponential_histogram"}
    assert {row["temporality"] for row in sent} == {None, temporality.upper()}
    assert {row["is_monotonic"] for row in sent} == {None, True, False}
    assert any(row["exemplars"] and row["exemplars"][0]["trace_id"] for row in sent)
    assert any(row["positive_bucket_counts"] for row in sent)
    assert {type(row["value_int"]) for row in sent} == {type(None), int, str}


def test_a_series_keeps_its_id(server, sent, transport, temporality):
    sql = """SELECT series_id, count(*) AS points FROM metrics
             WHERE service_name = $service AND name = 'auth.login.attempts' GROUP BY series_id"""
    found = server.query(sql, service=service(transport, temporality))
    points = [row for row in sent if row["name"] == "auth.login.attempts"]
    assert len(points) >= 4
    assert [row["points"] for row in found] == [len(points) / 2] * 2, found
    assert all(len(row["series_id"]) == 32 for row in found)
