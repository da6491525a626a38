import hashlib
import threading
import time

import pytest
from lossy_proxy import LossyProxy
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tracehound_server import Server
from transports import TRANSPORTS

SECRET = "correct horse battery staple"
KEYS = f"""
[[keys]]
id = "sdk"
sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"
tenants = ["acme"]
"""
UNCOMPRESSED = [transport for transport in TRANSPORTS if not transport.gzip]
by_transport = pytest.mark.parametrize("transport", UNCOMPRESSED, ids=lambda transport: transport.name)


def export(exporter, service, count):
    """Sends `count` spans in one batch, as an application would; returns when the exporter has given up or succeeded."""
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    tracer = provider.get_tracer("failures")
    ids = []
    for n in range(count):
        with tracer.start_as_current_span(f"span {n}") as span:
            ids.append(f"{span.get_span_context().span_id:016x}")
    provider.force_flush(60_000)
    provider.shutdown()
    return ids


def stored(server, service, key=None):
    rows = server.query("SELECT span_id FROM spans WHERE service_name = $service", key, service=service)
    return sorted(row["span_id"] for row in rows)


@by_transport
def test_a_lost_reply_is_retried_and_stored_once(server, transport):
    address = server.addresses["otlp-grpc" if transport.is_grpc else "otlp-http"]
    proxy = LossyProxy(address, http2=transport.is_grpc)
    exporter = transport.exporter("spans", server, proxy.address, timeout=30)
    ids = export(exporter, f"lost-reply-{transport.name}", 20)
    proxy.close()
    assert proxy.lost >= 2, "the SDK did not send again, so nothing was tested"
    assert exporter.results == ["SUCCESS"]
    assert stored(server, f"lost-reply-{transport.name}") == sorted(ids)


@by_transport
@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["stopped", "killed"])
def test_an_exporter_outlives_a_restart(tmp_path, transport, end):
    server = Server(tmp_path)
    try:
        before = export(transport.exporter("spans", server), "restart", 5)
        end(server)
        exporter = transport.exporter("spans", server, timeout=60)
        ids = []
        sender = threading.Thread(target=lambda: ids.extend(export(exporter, "restart", 20)))
        sender.start()
        time.sleep(0.5)
        server.start()
        sender.join(60)
        assert exporter.results == ["SUCCESS"]
        assert stored(server, "restart") == sorted(before + ids)
    finally:
        server.close()


@pytest.fixture(scope="module")
def locked_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("keys"), KEYS)
    yield server
    server.close()


@by_transport
@pytest.mark.parametrize("headers", [None, {"authorization": "Bearer wrong"}], ids=["none", "wrong"])
def test_a_bad_key_fails_the_export_and_nothing_else(locked_server, transport, headers):
    service = f"bad-{transport.name}"
    exporter = transport.exporter("spans", locked_server, headers=headers, timeout=10)
    began = time.monotonic()
    export(exporter, service, 3)
    assert exporter.results == ["FAILURE"]
    assert time.monotonic() - began < 5, "a refused key is not worth a retry"
    assert stored(locked_server, service, SECRET) == []


@by_transport
def test_a_good_key_names_the_tenant(locked_server, transport):
    service = f"good-{transport.name}"
    exporter = transport.exporter("spans", locked_server, headers={"authorization": f"Bearer {SECRET}"})
    ids = export(exporter, service, 3)
    assert exporter.results == ["SUCCESS"]
    assert stored(locked_server, service, SECRET) == sorted(ids)
    sql = "SELECT DISTINCT ingest_key_id FROM spans WHERE service_name = $service"
    assert locked_server.query(sql, SECRET, service=service) == [{"ingest_key_id": "sdk"}]


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory):
    """A tenant may send 2 KiB a second, and ten seconds' worth at once."""
    server = Server(tmp_path_factory.mktemp("quota"), '[limits]\ntenant_ingest_bytes_per_second = "2KiB"\n')
    yield server
    server.close()


@by_transport
def test_a_quota_delays_and_loses_nothing(strict_server, transport, caplog):
    service = f"quota-{transport.name}"
    exporters = [transport.exporter("spans", strict_server, timeout=60) for _ in range(9)]
    began = time.monotonic()
    ids = [id for exporter in exporters for id in export(exporter, service, 50)]
    assert [exporter.results for exporter in exporters] == [["SUCCESS"]] * 9
    assert "Transient error" in caplog.text, "the quota was never reached, so nothing was tested"
    assert time.monotonic() - began > 1
    assert stored(strict_server, service) == sorted(ids)
