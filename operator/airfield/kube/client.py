"""A small asynchronous client of the Kubernetes API, on aiohttp, for plain dicts."""

from __future__ import annotations

import asyncio
import json
import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from airfield.api import meta
from airfield.kube.errors import ApiError, ApiUnavailable
from airfield.kube.kinds import POD, Kind, Ref, kind_named
from airfield.runtime.documents import as_yaml

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from airfield.kube.credentials import Credentials

MAX_CONNECTIONS = 32
PAGE = 500
RETRIES = 3
MAX_PATIENCE = 10.0
"""Longest Retry-After in seconds that is waited out here; beyond it the caller's own back-off does better."""

TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
"""In seconds. No total: it would count the wait for a free connection."""

_OTHER_UID = re.compile("UID in (the )?precondition")  # the API server has two texts for it
_BAD_PATCH = "failed to create typed patch object"

Object = dict[str, Any]
Objects = list[Object]
Patch = list[Any] | dict[str, Any]
"""A JSON patch (RFC 6902), or a merge patch (RFC 7386)."""


class KubeClient:
    """Reads and writes objects; every failure is an ApiError that names verb and object. Use it with `async with`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        on_request: Callable[[str, str, int], None] | None = None,
    ) -> None:
        """`on_request(verb, kind, status)` is told of every request sent; status 0 means that there was no answer."""
        self._credentials = credentials
        self._on_request = on_request
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._credentials.url,
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=self._credentials.ssl or True),
            timeout=TIMEOUT,
            headers={"User-Agent": "airfield"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()
            self._session = None

    async def get(self, ref: Ref) -> Object | None:
        """The object, or None when it does not exist."""
        return await self._unless_missing(self._request("get", ref, "GET", _path(ref), idempotent=True))

    async def version(self) -> str:
        """The API server's version, as `v1.36.3`."""
        found = await self._request("get", "version", "GET", "/version", idempotent=True)
        return str(found["gitVersion"])

    async def list(
        self,
        kind: Kind,
        namespace: str | None = None,
        label_selector: str | None = None,
        *,
        metadata_only: bool = False,
    ) -> Objects:
        """All objects of a kind, in one namespace or in all, each with its apiVersion and kind.

        Read in pages; begun again when the server has forgotten the snapshot that the pages come from.
        """
        where = f"{kind.plural} in {namespace}" if namespace else kind.plural
        query = {"limit": str(PAGE)} | ({"labelSelector": label_selector} if label_selector else {})
        accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" if metadata_only else None
        for restarts_left in reversed(range(RETRIES)):
            try:
                return await self._pages(kind, kind.path(namespace or ""), where, query, accept)
            except ApiError as error:
                if not error.gone or not restarts_left:
                    raise
        raise AssertionError  # pragma: no cover - the loop returns or raises

    async def _pages(self, kind: Kind, path: str, where: str, query: Mapping[str, str], accept: str | None) -> Objects:
        items: Objects = []
        token = ""
        while True:
            page = await self._request(
                "list",
                where,
                "GET",
                path,
                kind=kind.kind,
                query={**query, **({"continue": token} if token else {})},
                headers={"Accept": accept} if accept else {},
                idempotent=True,
            )
            items += [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in page.get("items") or ()]
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return items

    async def apply(
        self,
        manifest: Mapping[str, Any],
        *,
        field_manager: str = meta.FIELD_MANAGER,
        force: bool = True,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply. The live object afterwards, managedFields included.

        Raises:
            ApiError: `conflict` when not forced and others own fields; `invalid` for unknown fields and immutable ones.
        """
        ref = Ref.of(manifest)
        query = {"fieldManager": field_manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        return await self._request(
            "apply",
            ref,
            "PATCH",
            _path(ref),
            query=query | ({"dryRun": "All"} if dry_run else {}),
            body=manifest,
            content_type="application/apply-patch+yaml",  # JSON is YAML
            idempotent=True,
        )

    async def create(self, manifest: Mapping[str, Any]) -> Object | None:
        """The new object, or None when one of that name already exists."""
        metadata = manifest["metadata"]
        ref = Ref.of({**manifest, "metadata": {"name": f"{metadata.get('generateName')}*", **metadata}})
        query = {"fieldManager": meta.FIELD_MANAGER, "fieldValidation": "Strict"}
        try:
            return await self._request("create", ref, "POST", _path(replace(ref, name="")), query=query, body=manifest)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return None
            raise

    async def apply_status(self, ref: Ref, status: Mapping[str, Any], resource_version: str | None = None) -> Object:
        """Replace the whole status. With a resource version: only if the object is still at it, else a `conflict`."""
        patch: Objects = [{"op": "add", "path": "/status", "value": status}]
        if resource_version is not None:
            # Writing the version rather than testing it makes a stale one a 409; a failed test would be a 422.
            patch.insert(0, {"op": "replace", "path": "/metadata/resourceVersion", "value": resource_version})
        return await self._patch(ref, patch, "status")

    async def patch(self, ref: Ref, patch: Patch, *, subresource: str | None = None) -> Object | None:
        """JSON patch (a list) or merge patch (a dict). The object afterwards, or None when it does not exist."""
        return await self._unless_missing(self._patch(ref, patch, subresource))

    async def _patch(self, ref: Ref, patch: Patch, subresource: str | None) -> Object:
        form = "json-patch" if isinstance(patch, list) else "merge-patch"
        return await self._request(
            f"patch {subresource} of" if subresource else "patch",
            ref,
            "PATCH",
            _path(ref) + (f"/{subresource}" if subresource else ""),
            query={"fieldManager": meta.FIELD_MANAGER, "fieldValidation": "Strict"},
            body=patch,
            content_type=f"application/{form}+json",
        )

    async def delete(self, ref: Ref, *, uid: str | None = None, propagation: str = "Background") -> bool:
        """Delete an object; False if it is already gone.

        With a uid only that very object is deleted: another one that has taken its name also counts as gone.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            await self._request("delete", ref, "DELETE", _path(ref), body=options)
        except ApiError as error:
            if error.not_found or (error.conflict and _OTHER_UID.search(error.message)):
                return False
            raise
        return True

    async def logs(
        self, namespace: str, pod: str, container: str | None = None, tail: int = 50, limit: int = 64 * 1024
    ) -> str:
        """The last lines of a container's log, of these the first `limit` bytes; "" when the pod is gone or new."""
        ref = Ref("v1", "Pod", namespace, pod)
        query = {"tailLines": str(tail), "limitBytes": str(limit)} | ({"container": container} if container else {})
        try:
            text = await self._send("read logs of", ref, "GET", f"{_path(ref)}/log", POD.kind, query, idempotent=True)
        except ApiError as error:
            if error.status in {400, 404}:
                return ""
            raise
        return text.decode(errors="replace")

    @staticmethod
    async def _unless_missing(request: Awaitable[Object]) -> Object | None:
        try:
            return await request
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def _request(
        self,
        verb: str,
        target: Ref | str,
        method: str,
        path: str,
        *,
        kind: str = "",
        query: Mapping[str, str] | None = None,
        body: object = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> Object:
        kind = kind or (target.kind if isinstance(target, Ref) else target.split(" ", 1)[0])
        data = None if body is None else as_yaml(body).encode()  # an apply is read as YAML
        all_headers = {"Content-Type": content_type} if data else {}
        all_headers.update(headers or {})
        text = await self._send(
            verb, target, method, path, kind, query, data=data, headers=all_headers, idempotent=idempotent
        )
        try:
            result: Object = json.loads(text)
        except ValueError as error:
            raise ApiError(502, "BadGateway", f"{verb} {target}: the answer is not JSON: {text[:200]!r}") from error
        return result

    async def _send(
        self,
        verb: str,
        target: Ref | str,
        method: str,
        path: str,
        kind: str,
        query: Mapping[str, str] | None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool,
    ) -> bytes:
        """Send a request, again where that is safe and promising, and give back the body of a 2xx."""
        if self._session is None:
            raise RuntimeError("KubeClient is used outside of its `async with` block")
        for attempt in range(RETRIES + 1):
            last = attempt == RETRIES
            status = 0
            try:
                async with self._session.request(
                    method,
                    path,
                    params=query,
                    data=data,
                    headers={**(headers or {}), **await self._credentials.headers()},
                    server_hostname=self._credentials.server_hostname,
                    proxy=self._credentials.proxy,
                    allow_redirects=False,
                ) as response:
                    status = response.status
                    text = await response.read()
                    retry_after = _seconds(response.headers.get("Retry-After"))
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if last or not idempotent:
                    raise ApiUnavailable(f"{verb} {target}: no answer: {error or type(error).__name__}") from error
                delay = 0.1 * 2**attempt
            else:
                if status < 300:
                    return text
                failure = _failure(status, text, retry_after, f"{verb} {target}")
                # With 503 the header says that the request was not begun: a server that starts, or shuts down.
                asked_to_wait = status == 429 or (status == 503 and retry_after is not None)
                delay = 0.5 * 2**attempt if retry_after is None else retry_after
                if last or not asked_to_wait or delay > MAX_PATIENCE:
                    raise failure
            finally:
                if self._on_request:
                    self._on_request(verb.split(" ", 1)[0], kind, status)
            await asyncio.sleep(delay * random.uniform(1, 1.5))  # noqa: S311 - jitter
        raise AssertionError  # pragma: no cover - the last attempt returns or raises


def _path(ref: Ref) -> str:
    kind = kind_named(ref.api_version, ref.kind)
    if kind.namespaced and not ref.namespace:
        raise ValueError(f"{ref} has no namespace; set metadata.namespace")
    return kind.path(ref.namespace, ref.name)


def _seconds(header: str | None) -> float | None:
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:  # the header's other form, a date, is not one that API servers send
        return None


def _failure(status: int, body: bytes, retry_after: float | None, what: str) -> ApiError:
    """The error in a Status object, or in whatever a proxy on the way answered."""
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        parsed = {"message": body[:500].decode(errors="replace").strip()}
    message, reason = parsed.get("message") or "no message", parsed.get("reason") or f"HTTP{status}"
    text = f"{what}: {message} (HTTP {status})"
    if status == 500 and _BAD_PATCH in message:
        # A server-side apply that breaks the schema is the client's fault, whatever the API server calls it.
        status, reason = 422, "Invalid"
    return ApiError(status, reason, text, retry_after)
