"""What answers for Airflow where no container runs: the monitor endpoint of every environment, as a test wants it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclass
class AirflowStub:
    """The endpoints of all environments. An environment is called `namespace/name`; without more ado it is healthy."""

    port: int
    down: set[str] = field(default_factory=set)
    """Environments whose API server answers with 503."""
    stumbles: set[str] = field(default_factory=set)
    """Environments whose API server answers the next question with 503."""
    silent: dict[str, str] = field(default_factory=dict)
    """Environments of which a component sends no heartbeat."""
    asked: list[str] = field(default_factory=list)
    """Environments in the order in which they were asked about."""

    @property
    def url(self) -> str:
        """For AIRFIELD_AIRFLOW_URL."""
        return f"http://127.0.0.1:{self.port}/{{namespace}}/{{name}}"

    def answer(self, path: str) -> tuple[int, bytes]:
        namespace, name, rest = path.lstrip("/").split("/", 2)
        environment = f"{namespace}/{name}"
        self.asked.append(environment)
        if environment in self.stumbles:
            self.stumbles.remove(environment)
            return 503, b"{}"
        if environment in self.down or rest != "api/v2/monitor/health":
            return 503, b"{}"
        sick = self.silent.get(environment)
        report = {name: {"status": "unhealthy" if name == sick else "healthy"} for name in COMPONENTS}
        return 200, json.dumps(report).encode()


@contextmanager
def airflow_stub() -> Iterator[AirflowStub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = stub.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub = AirflowStub(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
