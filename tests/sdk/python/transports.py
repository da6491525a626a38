"""The SDK's exporters by transport, each keeping what it was asked to send."""

from dataclasses import dataclass

import grpc
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans

PATHS = {"spans": "/v1/traces", "logs": "/v1/logs", "metrics": "/v1/metrics"}


@dataclass(frozen=True)
class Transport:
    name: str
    is_grpc: bool
    gzip: bool

    def exporter(self, signal: str, server, address: str | None = None, **options):
        """An exporter of `spans`, `logs` or `metrics` that records in `sent` and `results`.

        `address` replaces the server's own, so that a proxy may stand between.
        """
        if self.is_grpc:
            base = {"spans": GrpcSpans, "logs": GrpcLogs, "metrics": GrpcMetrics}[signal]
            options["endpoint"] = f"http://{address}" if address else server.otlp_grpc
            options["insecure"] = True
            options["compression"] = grpc.Compression.Gzip if self.gzip else grpc.Compression.NoCompression
        else:
            base = {"spans": HttpSpans, "logs": HttpLogs, "metrics": HttpMetrics}[signal]
            options["endpoint"] = (f"http://{address}" if address else server.otlp_http) + PATHS[signal]
            options["compression"] = Compression.Gzip if self.gzip else Compression.NoCompression

        class Recording(base):
            def __init__(self):
                super().__init__(**options)
                self.sent, self.results = [], []

            def export(self, data, *args, **kwargs):
                result = super().export(data, *args, **kwargs)
                self.sent.append(data)
                self.results.append(result.name)
                return result

        return Recording()


TRANSPORTS = [
    Transport("grpc", is_grpc=True, gzip=False),
    Transport("grpc-gzip", is_grpc=True, gzip=True),
    Transport("http-protobuf", is_grpc=False, gzip=False),
    Transport("http-protobuf-gzip", is_grpc=False, gzip=True),
]
