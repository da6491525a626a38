"""What `docs/instrumentation.md` shows does what it says."""

import re
from pathlib import Path

from opentelemetry import context
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind
from transports import TRANSPORTS

PAGE = Path(__file__).parents[3] / "docs" / "instrumentation.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_identity_reaches_spans_through_baggage(server):
    shown, use = blocks("python")
    names = {"context": context}
    exec(shown, names)
    exporter = TRANSPORTS[0].exporter("spans", server)
    provider = names["tracing"](Resource({"service.name": "py-documentation"}), exporter)
    tracer = provider.get_tracer("documentation")
    with tracer.start_as_current_span("entry", kind=SpanKind.SERVER):
        exec(use, names)
        try:
            with tracer.start_as_current_span("inner"):
                pass
        finally:
            context.detach(names["token"])
    with tracer.start_as_current_span("stranger", context=context.Context()):
        pass
    assert provider.force_flush()
    provider.shutdown()
    assert exporter.results == ["SUCCESS"]
    sql = """SELECT name, user_id, roles, role, app_tenant_id, trust_level FROM spans
             WHERE service_name = 'py-documentation' ORDER BY name"""
    known = {"user_id": "u-4711", "roles": ["support", "user"], "role": "support", "app_tenant_id": "acme", "trust_level": "mfa"}
    unknown = dict.fromkeys(known)
    assert server.query(sql) == [{"name": "entry"} | known, {"name": "inner"} | known, {"name": "stranger"} | unknown]


def test_the_queries_run(server):
    queries = blocks("sql")
    assert len(queries) == 2
    for query in queries:
        server.query(query)
