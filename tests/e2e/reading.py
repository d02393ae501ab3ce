"""Reads resources without a process for each look, of which kubectl needs a twentieth of a processor's second."""

import asyncio
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from airfield.kube.credentials import from_kubeconfig
from demo.platform import PlatformError

Object = dict[str, Any]


def read(kubeconfig: Path, path: str) -> Object | None:
    """What the API server has at `path`, None when it has nothing there. PlatformError when it does not answer."""
    try:
        return _reader(kubeconfig).get(path)
    except OSError as error:
        raise PlatformError(f"get {path}: {error}") from error


@cache
def _reader(kubeconfig: Path) -> "_Reader":
    return _Reader(kubeconfig)


class _Reader:
    def __init__(self, kubeconfig: Path) -> None:
        self._credentials = from_kubeconfig(path=str(kubeconfig))
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._credentials.ssl)
        )

    def get(self, path: str) -> Object | None:
        # In a thread of its own: where a browser is looked at, there is an event loop in this one.
        headers = self._thread.submit(lambda: asyncio.run(self._headers())).result()
        request = urllib.request.Request(self._credentials.url + path, headers=headers)  # noqa: S310 - the kubeconfig's
        try:
            with self._opener.open(request, timeout=60) as answer:
                found: Object = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    async def _headers(self) -> dict[str, str]:
        return await self._credentials.headers()
