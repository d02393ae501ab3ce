"""Reads resources without a process for each look, of which kubectl needs a twentieth of a processor's second."""

import asyncio
import http.client
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from airfield.kube.credentials import from_kubeconfig
from demo.platform import PlatformError

Object = dict[str, Any]

GROUPS = {
    "airfield.dev/v1alpha1": ("airflowenvironments", "airflowenvironmentclasses", "airflowtenants"),
    "apps/v1": ("deployments", "statefulsets"),
    "batch/v1": ("jobs",),
    "gateway.networking.k8s.io/v1": ("httproutes",),
    "networking.k8s.io/v1": ("ingresses", "networkpolicies"),
    "policy/v1": ("poddisruptionbudgets",),
    "rbac.authorization.k8s.io/v1": ("roles", "rolebindings"),
}
"""The kinds that are not of the core."""
VERSIONS = {kind: version for version, kinds in GROUPS.items() for kind in kinds}


def read(kubeconfig: Path, path: str) -> Object | None:
    """What the API server has at `path`, None when it has nothing there. PlatformError when it does not answer."""
    try:
        return _reader_of(kubeconfig).get(path)
    except (OSError, http.client.HTTPException) as error:
        raise PlatformError(f"get {path}: {error}") from error


def log(kubeconfig: Path, namespace: str, pod: str, container: str, *, previous: bool = False) -> str | None:
    """What a container has said, or the one before it; None if there is none any more."""
    query = f"container={quote(container)}&previous={str(previous).lower()}"
    try:
        found = _reader_of(kubeconfig).content(f"/api/v1/namespaces/{namespace}/pods/{pod}/log?{query}")
    except (OSError, http.client.HTTPException) as error:
        if "not found" in str(error):  # in answer 400: of a container that was removed since
            return None
        raise PlatformError(f"log of {pod}/{container}: {error}") from error
    return None if found is None else found.decode()


def listed(kubeconfig: Path, kinds: str, namespace: str, selector: str = "") -> list[Object]:
    """The objects of these kinds (plural names with commas between them) in a namespace, those that have the labels.

    With "" for the namespace those of all namespaces.
    """
    return [each for kind in kinds.split(",") for each in _listed(kubeconfig, kind, namespace, selector)]


def _listed(kubeconfig: Path, kind: str, namespace: str, selector: str) -> Iterable[Object]:
    version = VERSIONS.get(kind)
    root = f"/apis/{version}" if version else "/api/v1"
    place = f"/namespaces/{namespace}" if namespace else ""
    path = f"{root}{place}/{kind}?labelSelector={quote(selector)}"
    found = read(kubeconfig, path)
    if found is None:
        raise PlatformError(f"the API server knows no {kind} of {version or 'v1'}")
    # As in every list, the items do not repeat what they are.
    of = {"apiVersion": found["apiVersion"], "kind": found["kind"].removesuffix("List")}
    return ({**of, **each} for each in found["items"])


def _reader_of(kubeconfig: Path) -> "_Reader":
    return _reader(kubeconfig, kubeconfig.stat().st_mtime_ns)


@cache
def _reader(kubeconfig: Path, _: int) -> "_Reader":
    """One for each cluster: another of the same name, with other keys, may come after it."""
    return _Reader(kubeconfig)


class _Reader:
    """One connection, which is opened anew where it has ended."""

    def __init__(self, kubeconfig: Path) -> None:
        self._credentials = from_kubeconfig(path=str(kubeconfig))
        self._thread = ThreadPoolExecutor(max_workers=1)
        server = urlsplit(self._credentials.url)
        self._connection = http.client.HTTPSConnection(
            str(server.hostname), server.port, timeout=60, context=self._credentials.ssl
        )

    def get(self, path: str) -> Object | None:
        content = self.content(path)
        if content is None:
            return None
        found: Object = json.loads(content)
        return found

    def content(self, path: str) -> bytes | None:
        # In a thread of its own: where a browser is looked at, there is an event loop in this one.
        return self._thread.submit(self._get, path).result()

    def _get(self, path: str) -> bytes | None:
        try:
            return self._ask(path)
        except (OSError, http.client.HTTPException):
            self._connection.close()  # it may have been idle for too long
        try:
            return self._ask(path)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def _ask(self, path: str) -> bytes | None:
        self._connection.request("GET", path, headers=asyncio.run(self._headers()))
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status == http.client.NOT_FOUND:
            return None
        if answer.status != http.client.OK:
            raise http.client.HTTPException(f"HTTP status {answer.status}: {content.decode(errors='replace')[:300]}")
        return content

    async def _headers(self) -> dict[str, str]:
        return await self._credentials.headers()
