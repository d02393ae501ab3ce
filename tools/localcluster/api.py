"""A few requests to the instance's API server, without a client library: starting up should not wait for its import."""

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localcluster.workspace import LocalClusterError

Document = dict[str, Any]


def as_administrator(pki: Path) -> ssl.SSLContext:
    """How the administrator of the instance with these keys connects to its API server."""
    context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)  # see create_pki
    context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
    return context


class Api:
    """The API server at `address`:`port`, as the administrator."""

    def __init__(self, address: str, port: int, pki: Path) -> None:
        self._address = address
        self._port = port
        self._tls = as_administrator(pki)

    def ready(self) -> bool:
        """Whether the server answers and everything in it has started."""
        try:
            return self._request("GET", "/readyz")[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> Document | None:
        """The object at `path`; None if there is none."""
        return self._object("GET", path)

    def create(self, path: str, body: Document) -> None:
        """Create `body` in the collection at `path`; harmless if it exists."""
        self._object("POST", path, body)

    def delete(self, path: str) -> None:
        """Delete the object at `path`; harmless if there is none."""
        self._object("DELETE", path)

    def watch(self, path: str) -> Iterator[Document]:
        """Every object of the collection at `path`, then each as it changes, until the server ends it after minutes."""
        connection = self._connect()
        try:
            connection.request("GET", f"{path}?watch=true")
            response = connection.getresponse()
            if response.status != http.client.OK:
                raise http.client.HTTPException(f"watch of {path}: {response.status}")
            while line := response.readline():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["object"]
        finally:
            connection.close()

    def _object(self, method: str, path: str, body: Document | None = None) -> Document | None:
        status, content = self._request(method, path, body)
        if status in {http.client.NOT_FOUND, http.client.CONFLICT}:
            return None
        if status >= http.client.BAD_REQUEST:
            raise LocalClusterError(f"{method} {path} answered {status}: {content.decode(errors='replace')[:500]}")
        document: Document = json.loads(content)
        return document

    def _request(self, method: str, path: str, body: Document | None = None) -> tuple[int, bytes]:
        connection = self._connect(timeout=10)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _connect(self, timeout: float | None = None) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._address, self._port, timeout=timeout, context=self._tls)


def wait_for(what: str, condition: Callable[[], bool], *, seconds: float, hint: str) -> None:
    """Return as soon as `condition` holds.

    Raises:
        LocalClusterError: it does not within `seconds`; says `hint`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise LocalClusterError(f"{what} took more than {seconds:.0f} s; {hint}")
        time.sleep(0.05)


def holds(document: Document | None, condition: str) -> bool:
    """Whether an object exists and its status says that `condition` is True."""
    conditions = (document or {}).get("status", {}).get("conditions", [])
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)
