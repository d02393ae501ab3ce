"""A small asynchronous client of the Kubernetes API, on aiohttp, for plain dicts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from sys import intern
from typing import TYPE_CHECKING, Any, TypeVar

from airfield.api import meta
from airfield.kube import versions
from airfield.kube.errors import ApiError
from airfield.kube.kinds import POD, SERVICE_ACCOUNT, Kind, Ref, kind_named
from airfield.kube.transport import Object, Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

PAGE = 100
"""Objects in an answer: a Deployment takes 40 KiB of memory until it is boiled down."""
LONG_PAGE = 250
"""Objects in an answer of which only the versions are read; the metadata of a plain Deployment has 3.4 KiB."""
RETRIES = 3
"""How often a list is begun anew whose snapshot the server has forgotten."""

NO_VERSION = "1"
"""A resourceVersion that no object has: an empty etcd is at revision 1, and each write makes it one more."""

_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_OTHER_UID = re.compile("UID in (the )?precondition")  # the API server has two texts for it

T = TypeVar("T")
Objects = list[Object]
Versioned = list[tuple[Ref, str]]
"""Objects' names with their resourceVersions."""
Patch = list[Any] | dict[str, Any]
"""A JSON patch (RFC 6902), or a merge patch (RFC 7386)."""


class KubeClient(Transport):
    """Reads and writes objects; every failure is an ApiError that names verb and object. Use it with `async with`."""

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
        boil: Callable[[Object], Object] = lambda obj: obj,
    ) -> Objects:
        """All objects of a kind, in one namespace or in all, each with its apiVersion and kind.

        Read in pages, of which nothing stays but what `boil` makes of each object; begun again when the server has
        forgotten the snapshot that the pages come from.
        """
        if namespace is None and kind.namespaced and self._namespaces:
            lists = [
                await self.list(kind, each, label_selector, metadata_only=metadata_only, boil=boil)
                for each in self._namespaces
            ]
            return [obj for objects in lists for obj in objects]
        for restarts_left in reversed(range(RETRIES)):
            items: Objects = []
            try:
                async for page, _ in self.pages(
                    kind, namespace or "", label_selector or "", metadata_only=metadata_only
                ):
                    items += map(boil, page)
            except ApiError as error:
                if not error.gone or not restarts_left:
                    raise
            else:
                return items
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def pages(
        self, kind: Kind, namespace: str, label_selector: str, *, metadata_only: bool = False
    ) -> AsyncIterator[tuple[Objects, str]]:
        """The objects of a kind, a page at a time, each page with the resourceVersion of the whole list.

        Raises:
            ApiError: `gone` when the server has forgotten the snapshot that the pages come from.
        """

        def read(text: bytes) -> tuple[Objects, str, str]:
            page = json.loads(text)
            metadata = page.get("metadata", {})
            items = [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in page.get("items") or ()]
            return items, metadata.get("resourceVersion", ""), metadata.get("continue", "")

        return self._pages(kind, namespace, label_selector, PAGE, _METADATA_LIST if metadata_only else "", read)

    def versions(self, kind: Kind, namespace: str, label_selector: str) -> AsyncIterator[tuple[Versioned, str]]:
        """Which objects there are of a kind, each with its resourceVersion; pages and errors as those of `pages`."""

        def read(text: bytes) -> tuple[Versioned, str, str]:
            page = versions.read(text)
            of = intern(kind.api_version), intern(kind.kind)
            items = [(Ref(*of, intern(space), name), version) for space, name, version in page.objects]
            return items, page.version, page.token

        return self._pages(kind, namespace, label_selector, LONG_PAGE, versions.ACCEPT, read)

    async def versions_of_all(self, kind: Kind) -> dict[Ref, str]:
        """The resourceVersion of each object of a kind that may be seen. Errors as those of `pages`: `gone`, too."""
        spaces = self._namespaces if kind.namespaced and self._namespaces else ("",)
        return {
            ref: version
            for namespace in spaces
            async for page, _ in self.versions(kind, namespace, "")
            for ref, version in page
        }

    async def _pages(
        self,
        kind: Kind,
        namespace: str,
        label_selector: str,
        limit: int,
        accept: str,
        read: Callable[[bytes], tuple[T, str, str]],
    ) -> AsyncIterator[tuple[T, str]]:
        """Pages of a list. `read` finds in an answer what to yield, the list's version, and the next page's token."""
        where = f"{kind.plural} in {namespace}" if namespace else kind.plural
        query = {"limit": str(limit)} | ({"labelSelector": label_selector} if label_selector else {})
        token = ""
        while True:
            text = await self._send(
                "list",
                where,
                "GET",
                kind.path(namespace),
                kind.kind,
                {**query, **({"continue": token} if token else {})},
                headers={"Accept": accept} if accept else {},
                idempotent=True,
            )
            try:
                items, version, token = read(text)
            except ValueError as error:
                message = f"list {where}: the answer cannot be read: {error}; it begins {text[:200]!r}"
                raise ApiError(502, "BadGateway", message) from error
            yield items, version
            if not token:
                return

    async def watch(
        self,
        kind: Kind,
        namespace: str,
        label_selector: str,
        *,
        version: str,
        seconds: float,
        metadata_only: bool = False,
        on_open: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Object]:
        """Events since a resourceVersion, bookmarks among them, for so many seconds at most.

        `on_open` is called when the API server grants the watch.

        Raises:
            ApiError: for an ERROR event, and when the watch cannot be begun; `gone`: that version is too old.
        """
        query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        query |= {"timeoutSeconds": str(max(int(seconds), 1))}
        query |= {"labelSelector": label_selector} if label_selector else {}
        headers = {"Accept": _METADATA} if metadata_only else {}
        async for event in self._events(kind, kind.path(namespace), query, headers, on_open):
            event["object"] |= {"apiVersion": kind.api_version, "kind": kind.kind}
            yield event

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
        # With "Strict" the API server would parse it, as YAML, a second time, only to look for keys given twice, which
        # JSON of ours does not have. Fields that it does not know it refuses in any case.
        query = {"fieldManager": field_manager, "force": str(force).lower(), "fieldValidation": "Ignore"}
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

    async def apply_new(self, manifest: Mapping[str, Any]) -> Object | None:
        """Server-side apply that makes the object; None for a conflict, and then nothing is touched.

        Mostly there is one of that name: perhaps this very one, when the answer to the first attempt was lost.

        Raises:
            ApiError: as `apply`.
        """
        try:
            return await self.apply({**manifest, "metadata": {**manifest["metadata"], "resourceVersion": NO_VERSION}})
        except ApiError as error:
            if error.conflict:
                return None
            raise

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

    async def token(self, namespace: str, account: str, seconds: int) -> str:
        """A token of a ServiceAccount that is good for so many seconds; the API server gives no less than 600."""
        answer = await self._request(
            "create",
            f"a token of ServiceAccount {namespace}/{account}",
            "POST",
            f"{SERVICE_ACCOUNT.path(namespace, account)}/token",
            kind="TokenRequest",
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": seconds},
            },
        )
        return str(answer["status"]["token"])

    async def apply_status(self, ref: Ref, status: Mapping[str, Any], *, uid: str = "") -> Object | None:
        """Replace the whole status. The object afterwards, or None when it does not exist.

        Raises:
            ApiError: `invalid` when there is another object by now than the one with that uid.
        """
        same = [{"op": "test", "path": "/metadata/uid", "value": uid}] if uid else []
        return await self.patch(ref, [*same, {"op": "add", "path": "/status", "value": status}], subresource="status")

    async def set_finalizers(self, ref: Ref, uid: str, version: str, finalizers: Sequence[str]) -> Object | None:
        """Replace the finalizers of an object as it was seen. The object afterwards, or None when it is gone.

        Raises:
            ApiError: `conflict` or `invalid` when it is another object, or has changed since.
        """
        patch = [
            {"op": "test", "path": "/metadata/uid", "value": uid},
            {"op": "add", "path": "/metadata/resourceVersion", "value": version},
            {"op": "add", "path": "/metadata/finalizers", "value": list(finalizers)},
        ]
        return await self.patch(ref, patch)

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

    async def delete(
        self, ref: Ref, *, uid: str | None = None, version: str | None = None, propagation: str = "Background"
    ) -> bool:
        """Delete an object; False if it is already gone.

        With a uid only that very object is deleted: another one that has taken its name also counts as gone.

        Raises:
            ApiError: `conflict` if it has another resourceVersion than `version`.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": uid, "resourceVersion": version},
        }
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


def _path(ref: Ref) -> str:
    kind = kind_named(ref.api_version, ref.kind)
    if kind.namespaced and not ref.namespace:
        raise ValueError(f"{ref} has no namespace; set metadata.namespace")
    return kind.path(ref.namespace, ref.name)
