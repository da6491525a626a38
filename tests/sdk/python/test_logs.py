import json
import time

import pytest
from expected import assert_rows, log_rows, typed
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

# Yesterday: a log of the future would be flagged as such.
START = (time.time_ns() // 1_000_000_000 - 86_400) * 1_000_000_000 + 1
BODIES = [
    "plain text, ☕",
    "",
    None,
    True,
    17,
    2.5,
    b"\x01\x02",
    ["a", 1, 0.5, False, None],
    {"user": {"id": 7, "tags": ["x", "y"]}, "ok": True, "ratio": 1.0},
]


def send_logs(transport, server):
    exporter = transport.exporter("logs", server)
    provider = LoggerProvider(Resource({"service.name": f"py-{transport.name}", "cpus": 4}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("log.scope", "2.0", "https://example.org/logs/1", {"tier": 1})
    span = SpanContext(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7, True, TraceFlags(1))
    inside = trace.set_span_in_context(NonRecordingSpan(span))
    severities = list(SeverityNumber)
    for n, body in enumerate(BODIES):
        logger.emit(
            LogRecord(
                timestamp=START + n,
                observed_timestamp=START + 1_000_000 + n,
                context=inside if n % 2 else trace.Context(),
                severity_number=severities[n * 2],
                severity_text="WARN" if n % 3 == 0 else None,
                body=body,
                attributes={"n": n, "list": ["a", "b"], "map": {"deep": [1, 2.0]}, "user.id": f"u-{n}"} if n else None,
                event_name="login.failed" if n == 4 else None,
            )
        )
    logger.emit(LogRecord(observed_timestamp=START + 100, body="observed only"))
    assert provider.force_flush()
    provider.shutdown()
    assert exporter.results == ["SUCCESS"]
    return log_rows(encode_logs([record for batch in exporter.sent for record in batch]))


@pytest.fixture
def sent(server, state, transport, once):
    return once(("logs", transport), lambda: send_logs(transport, server))


def test_the_rows_are_what_the_sdk_sent(server, sent, transport):
    assert len(sent) == len(BODIES) + 1
    columns = ", ".join(f'"{name}"' for name in sent[0])
    rows = server.query(f"SELECT {columns} FROM logs WHERE service_name = $service", service=f"py-{transport.name}")
    for row in rows + sent:
        if row["body_other"] is not None and row["body"] is not None:
            row["body"] = as_json(row["body"])
    assert_rows(rows, sent, "time")


def as_json(body):
    """Structured bodies compare as JSON, since JSON text is free in its spaces; bytes are bare hex."""
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except ValueError:
        return body


def test_what_was_sent_is_worth_comparing(sent):
    bodies = [row["body"] for row in sent]
    assert "plain text, ☕" in bodies and None in bodies
    structured = next(row for row in sent if row["attributes"].get("n") == len(BODIES) - 1)
    assert typed(as_json(structured["body"])) == typed(BODIES[-1])
    assert {row["event_name"] for row in sent} == {None, "login.failed"}
    assert {row["trace_id"] for row in sent} == {None, "4bf92f3577b34da6a3ce929d0e0e4736"}


def test_logs_meet_their_user(server, sent, transport):
    sql = "SELECT user_id, event_name FROM logs WHERE service_name = $service AND event_name IS NOT NULL"
    found = server.query(sql, service=f"py-{transport.name}")
    assert found == [{"user_id": "u-4", "event_name": "login.failed"}]
