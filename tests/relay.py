"""A way to a TCP server that can be cut: nothing is refused or closed then, there is just never an answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Relay:
    """Passes bytes on, both ways, until it is cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._cut = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Swallow everything from now on."""
        self._cut.set()

    @property
    def whole(self) -> bool:
        """Whether it was not cut."""
        return not self._cut.is_set()

    def mend(self) -> None:
        """Pass on again what comes. What came meanwhile is lost, so whoever had a connection must make a new one."""
        self._cut.clear()

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._sockets.append(near)
                if self._cut.is_set():
                    continue
                far = socket.create_connection(self._target)
                self._sockets.append(far)
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                if not self._cut.is_set():
                    target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def relayed(kubeconfig: Path, copy: Path) -> Iterator[Relay]:
    """A relay to the API server of a kubeconfig, and `copy`, a kubeconfig that goes through it."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    assert server.hostname is not None
    relay = Relay(server.hostname, server.port or 443)
    cluster["server"] = f"https://127.0.0.1:{relay.port}"
    copy.write_text(yaml.safe_dump(document))
    try:
        yield relay
    finally:
        relay.close()
