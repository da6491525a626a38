import pytest
from expected import assert_rows, span_rows
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

ATTRIBUTES = {
    "text": "naïve ☕ \U0001f43e",
    "text.empty": "",
    "text.numeric": "17",
    "text.long": "x" * 20_000,
    "bool.true": True,
    "bool.false": False,
    "int": 42,
    "int.negative": -7,
    "int.largest": 2**63 - 1,
    "int.smallest": -(2**63),
    "double": 1.5,
    "double.whole": 3.0,
    "double.tiny": 5e-324,
    "bytes": b"\x00\xff\x7f",
    "list.text": ["a", "b", ""],
    "list.int": [1, 2, 3],
    "list.double": [0.5, 2.0],
    "list.bool": [True, False],
    "list.empty": [],
    "map": {"inner": {"deep": [1, "two", 3.5, False, None]}, "n": 1},
    "quote's \"key\" \\ back": "odd key",
}
RESOURCE = {"service.version": "1.2.3", "host.cpus": 8, "spot": True, "zones": ["a", "b"], "load": 0.25, "same.key": "resource"}


def send_spans(transport, server):
    exporter = transport.exporter("spans", server)
    provider = TracerProvider(
        resource=Resource(RESOURCE | {"service.name": f"py-{transport.name}"}, "https://example.org/resource/1"),
        span_limits=SpanLimits(max_events=4),
        shutdown_on_exit=False,
    )
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("scope.name", "0.1", "https://example.org/scope/1", {"same.key": "scope", "tier": 2})

    state = TraceState([("vendor", "a:b"), ("other", "1")])
    caller = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True, TraceFlags(1), state)
    elsewhere = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1), TraceState())
    start = 1_795_000_000_123_456_789
    with_caller = trace.set_span_in_context(NonRecordingSpan(caller))
    server_span = tracer.start_span("GET /invoices", with_caller, SpanKind.SERVER, start_time=start)
    server_span.set_attributes({"same.key": "span", "user.id": "u-4711", "user.roles": ["user", "support"], "enduser.id": "no"})
    inner = trace.set_span_in_context(server_span)
    everything = tracer.start_span(
        "everything", inner, links=[Link(elsewhere, {"why": "retry", "n": 3}), Link(caller)], start_time=start + 1
    )
    everything.set_attributes(ATTRIBUTES)
    for n in range(6):
        everything.add_event(f"event {n}", {"n": n, "list": [n, n + 1], "share": n / 2}, timestamp=start + 10 + n)
    try:
        raise ValueError("no such invoice")
    except ValueError as error:
        everything.record_exception(error, timestamp=start + 30)
    everything.set_status(Status(StatusCode.ERROR, "it failed — «badly»"))
    leaf = trace.set_span_in_context(everything)
    client = tracer.start_span("export", leaf, SpanKind.CLIENT, start_time=start + 2)
    client.set_attributes({"server.address": "storage.example.org", "security.data_classification": "PII"})
    client.set_status(Status(StatusCode.OK))
    client.end(start + 2)
    everything.end(start + 50)
    for kind in (SpanKind.PRODUCER, SpanKind.CONSUMER):
        tracer.start_span(f"{kind.name} root", trace.Context(), kind, start_time=start + 60).end(start + 3_600_000_000_060)
    server_span.end(start + 999_999_999)
    bare = provider.get_tracer("")
    bare.start_span("", trace.Context(), start_time=start).end(start + 1)

    assert provider.force_flush()
    provider.shutdown()
    assert exporter.results == ["SUCCESS"]
    return span_rows(encode_spans([span for batch in exporter.sent for span in batch]))


@pytest.fixture
def sent(server, state, transport, once):
    return once(("spans", transport), lambda: send_spans(transport, server))


def test_the_rows_are_what_the_sdk_sent(server, sent, transport):
    assert len(sent) == 6
    columns = ", ".join(f'"{name}"' for name in sent[0])
    rows = server.query(f"SELECT {columns} FROM spans WHERE service_name = $service", service=f"py-{transport.name}")
    assert_rows(rows, sent, "span_id")


def test_what_was_sent_is_worth_comparing(sent):
    """A control: the rows that the comparison expects really hold every kind of thing."""
    everything = next(row for row in sent if row["name"] == "everything")
    assert everything["attributes"].keys() == ATTRIBUTES.keys()
    assert everything["attributes"]["bytes"] == "00ff7f"
    assert everything["attributes"]["int.largest"] == str(2**63 - 1)
    assert everything["dropped_events_count"] == 3 and len(everything["events"]) == 4
    assert len(everything["links"]) == 2 and everything["status_code"] == "ERROR"
    assert everything["parent_span_id"] in {row["span_id"] for row in sent}
    assert any(row["trace_state"] == "vendor=a:b,other=1" for row in sent)


def test_entity_columns_are_filled(server, sent, transport):
    sql = """SELECT name, user_id, roles, role, data_classification, peer_address
             FROM spans WHERE service_name = $service AND name IN ('GET /invoices', 'export') ORDER BY name DESC"""
    nobody = {"user_id": None, "roles": None, "role": None}
    assert server.query(sql, service=f"py-{transport.name}") == [
        nobody | {"name": "export", "data_classification": "PII", "peer_address": "storage.example.org"},
        {"name": "GET /invoices", "user_id": "u-4711", "roles": ["user", "support"], "role": "user",
         "data_classification": None, "peer_address": None},
    ]  # fmt: skip


def test_scopes_do_not_share_a_namespace(server, sent, transport):
    sql = """SELECT attributes['same.key'] AS span, resource['same.key'] AS resource, scope['same.key'] AS scope
             FROM spans WHERE service_name = $service AND kind = 'SERVER'"""
    assert server.query(sql, service=f"py-{transport.name}") == [{"span": "span", "resource": "resource", "scope": "scope"}]


def test_a_trace_is_found_by_its_id(server, sent, transport):
    sql = "SELECT name FROM spans WHERE trace_id = $trace AND service_name = $service"
    names = server.query(sql, trace="4BF92F3577B34DA6A3CE929D0E0E4736", service=f"py-{transport.name}")
    assert sorted(row["name"] for row in names) == ["GET /invoices", "everything", "export"]
