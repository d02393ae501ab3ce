"""The least that an asynchronous client of the API server can be: bytes go out, a status comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from airfield.kube import credentials
from airfield.kube.connections import Connections
from airfield.kube.kinds import kind_named

CONNECTIONS: Final = 32
_APPLY: Final = "fieldManager=bench&force=true&fieldValidation=Ignore"
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""Answers without the object's content: nobody here reads it."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Wire:
    """Connections to one API server."""

    session: aiohttp.ClientSession

    async def apply(self, manifest: Mapping[str, Any]) -> None:
        """Server-side apply of one object."""
        headers = {"Content-Type": "application/apply-patch+yaml", "Accept": _METADATA}
        body = json.dumps(manifest, separators=(",", ":")).encode()
        async with self.session.patch(f"{path_of(manifest)}?{_APPLY}", data=body, headers=headers) as answer:
            if answer.status >= 300:
                raise ValueError(f"apply {path_of(manifest)}: {answer.status}: {(await answer.text())[:500]}")
            await answer.read()

    async def apply_all(self, manifests: Iterable[Mapping[str, Any]]) -> None:
        """Apply many objects, as many at a time as there are connections."""
        waiting = iter(manifests)

        async def work() -> None:
            for manifest in waiting:
                await self.apply(manifest)

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    async def delete(self, path: str) -> None:
        """Delete one object; that it is gone already is well."""
        async with self.session.delete(path, headers={"Accept": _METADATA}) as answer:
            if answer.status >= 300 and answer.status != 404:
                raise ValueError(f"delete {path}: {answer.status}: {(await answer.text())[:500]}")
            await answer.read()

    async def list(self, path: str, *, limit: int = 0) -> list[Json]:
        """The objects of a collection; all of them if `limit` is 0."""
        # The API server heeds a limit only where an old answer is not good enough.
        async with self.session.get(path, params={"limit": limit} if limit else {"resourceVersion": "0"}) as answer:
            answer.raise_for_status()
            items: list[Json] = (await answer.json())["items"]
            return items

    async def watch(self, path: str) -> AsyncIterator[tuple[str, Json]]:
        """Events of a collection, beginning with one for each object that there is."""
        parameters = {"watch": "1", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        parameters |= {"allowWatchBookmarks": "true", "timeoutSeconds": "7200"}
        async with self.session.get(path, params=parameters) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                event = json.loads(line)
                yield event["type"], event["object"]

    async def until(self, path: str, satisfied: Callable[[Json], bool], count: int, seconds: float = 3600) -> None:
        """Wait until `count` objects of a collection satisfy a condition. TimeoutError names how many do."""
        good: set[tuple[str, str]] = set()
        try:
            async with asyncio.timeout(seconds):
                while not await self._count(path, satisfied, count, good):
                    good.clear()  # the API server ends a watch that falls behind
        except TimeoutError:
            raise TimeoutError(f"{len(good)} of {count} objects of {path} are as they should be") from None

    async def _count(
        self, path: str, satisfied: Callable[[Json], bool], count: int, good: set[tuple[str, str]]
    ) -> bool:
        """Keep `good` as long as a watch lasts; whether it has come to `count`."""
        async for kind, obj in self.watch(path):
            if kind not in {"ADDED", "MODIFIED", "DELETED"}:
                continue
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            if kind != "DELETED" and satisfied(obj):
                good.add(key)
            else:
                good.discard(key)
            if len(good) >= count:
                return True
        return False


@asynccontextmanager
async def wire(kubeconfig: Path) -> AsyncIterator[Wire]:
    """Connect as the kubeconfig says."""
    found = credentials.from_kubeconfig(path=str(kubeconfig))
    connector = Connections(found, CONNECTIONS + 8)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        found.url, connector=connector, timeout=timeout, headers=await found.headers(), read_bufsize=2**22
    ) as session:
        yield Wire(session)


def path_of(manifest: Mapping[str, Any]) -> str:
    """The path of an object."""
    kind = kind_named(manifest["apiVersion"], manifest["kind"])
    metadata = manifest["metadata"]
    return f"{kind.path(metadata.get('namespace', ''))}/{metadata['name']}"


def available(deployment: Json) -> bool:
    """Whether a Deployment or StatefulSet serves in full, as `kubectl rollout status` sees it."""
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def is_ready(environment: Json) -> bool:
    """Whether an environment's status, of its latest generation, says Ready."""
    return _says(environment, "Ready")


def is_applied(environment: Json) -> bool:
    """Whether it says that all objects are applied."""
    return _says(environment, "Applied")


def _says(environment: Json, condition: str) -> bool:
    status = environment.get("status", {})
    return status.get("observedGeneration") == environment["metadata"]["generation"] and any(
        each["type"] == condition and each["status"] == "True" for each in status.get("conditions", [])
    )
