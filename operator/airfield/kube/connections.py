"""Connections to an API server, of which none is left when they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import aiohttp

if TYPE_CHECKING:
    from airfield.kube.credentials import Credentials


class Connections(aiohttp.TCPConnector):
    """Up to `limit` at a time; 0: any number.

    A request that is cut short, as each watch is, has its connection closed with a good-bye, for whose answer TLS waits
    up to 30 seconds. aiohttp (3.14) then no longer knows it, and an event loop that ends meanwhile leaves it open.
    """

    def __init__(self, credentials: Credentials, limit: int = 0) -> None:
        super().__init__(limit=limit, ssl=credentials.ssl or True, socket_factory=self._open)
        self._sockets: WeakSet[socket.socket] = WeakSet()

    async def close(self, *, abort_ssl: bool = False) -> None:
        """End all of them, without waiting for the other side. One that is being made has a second to fail."""
        await super().close(abort_ssl=abort_ssl)
        for _ in range(1000):
            left = [each for each in self._sockets if each.fileno() >= 0]
            if not left:
                return
            for each in left:
                with contextlib.suppress(OSError):  # not connected yet, or not any more
                    each.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0.001)

    def _open(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, *_ = address
        opened = socket.socket(family, kind, protocol)
        self._sockets.add(opened)
        return opened
