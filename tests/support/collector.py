"""A collector of OpenTelemetry data: an HTTP server on this machine that takes OTLP and keeps what it gets."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Collector:
    """What has arrived so far. `url` takes `/v1/traces`, `/v1/logs` and `/v1/metrics`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Any] = []
        self.logs: list[Any] = []
        self.metrics: dict[str, Any] = {}  # by name, as they arrived last
        self.services: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        """Understand one request."""
        if path == "/v1/traces":
            for resource in _parsed(ExportTraceServiceRequest(), body).resource_spans:
                self.services.add(attributes(resource.resource)["service.name"])
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for resource in _parsed(ExportMetricsServiceRequest(), body).resource_metrics:
                self.services.add(attributes(resource.resource)["service.name"])
                self.metrics |= {each.name: each for scope in resource.scope_metrics for each in scope.metrics}
        else:
            for resource in _parsed(ExportLogsServiceRequest(), body).resource_logs:
                self.services.add(attributes(resource.resource)["service.name"])
                self.logs += [record for scope in resource.scope_logs for record in scope.log_records]


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, a log record or a resource."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def _parsed(message: Any, body: bytes) -> Any:
    message.ParseFromString(body)
    return message


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
