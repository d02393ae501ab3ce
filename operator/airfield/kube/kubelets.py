"""What kubelets say of the volumes that are mounted on their nodes.

A node that somebody has taken over must not learn the operator's token: kubelets are shown that of another
ServiceAccount, which may read their statistics and nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from airfield.kube.applier import few_at_a_time
from airfield.kube.credentials import Credentials
from airfield.kube.errors import ApiError
from airfield.kube.kinds import NODE, PERSISTENT_VOLUME_CLAIM, Ref
from airfield.kube.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airfield.kube.client import KubeClient
    from airfield.kube.credentials import Headers
    from airfield.kube.transport import Object

LIFETIME: Final = 3600
"""Seconds for which a token is good."""
RENEWAL: Final = 0.75 * LIFETIME
"""Seconds after which another one is fetched."""
PATIENCE: Final = 20.0
"""Seconds that a kubelet may take: one that does not answer must not keep the others waiting for long."""
LONGEST: Final = 16 * 2**20
"""Bytes of a summary, many times those of a full node: a longer one would take the memory of everybody else's."""


class Kubelets:
    """All kubelets of the cluster."""

    def __init__(
        self,
        kube: KubeClient,
        namespace: str,
        account: str,
        *,
        verified_by: ssl.SSLContext | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`account`: the ServiceAccount that they are asked as. `verified_by`: of their certificates; None: nobody."""
        self._kube, self._namespace, self._account, self._clock = kube, namespace, account, clock
        self._ssl = verified_by or _unverified()
        self._token, self._fetched = "", -RENEWAL

    async def filled(self) -> tuple[dict[Ref, int], list[ApiError]]:
        """Bytes that are filled, by the volume's claim; and why some kubelets did not say.

        A volume that is mounted on several nodes is as full as the one says that says most.

        Raises:
            ApiError: when the API server does not tell which nodes there are, or gives no token.
        """
        nodes = [node for node in await self._kube.list(NODE, boil=_boiled) if node["url"]]
        if self._clock() - self._fetched >= RENEWAL:
            self._token = await self._kube.token(self._namespace, self._account, LIFETIME)
            self._fetched = self._clock()
        found: dict[Ref, int] = {}
        failures = []
        for result in await few_at_a_time(partial(self._ask, node["name"], node["url"]) for node in nodes):
            if isinstance(result, ApiError):
                failures.append(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                for claim, size in result.items():
                    found[claim] = max(size, found.get(claim, 0))
        if any(failure.status == 401 for failure in failures):
            self._fetched = -RENEWAL  # the cluster may have other keys by now
        return found, failures

    async def _ask(self, node: str, url: str) -> dict[Ref, int]:
        async def headers() -> Headers:
            return {"Authorization": f"Bearer {self._token}"}

        async with _Kubelet(Credentials(url, self._ssl, headers), longest=LONGEST) as kubelet:
            try:
                async with asyncio.timeout(PATIENCE):
                    return filled_of(await kubelet.summary(node))
            except TimeoutError:
                raise ApiError(0, "Timeout", f"node {node}: no answer in {PATIENCE:g} s") from None
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
                raise ApiError(502, "BadGateway", f"node {node}: no statistics of a kubelet: {error!r}") from None


class _Kubelet(Transport):
    """One of them."""

    async def summary(self, node: str) -> Object:
        """What it knows of its pods: the Summary of `k8s.io/kubelet/pkg/apis/stats/v1alpha1`."""
        return await self._request("read", f"statistics of node {node}", "GET", "/stats/summary", kind="Node")


def filled_of(summary: Mapping[str, Any]) -> dict[Ref, int]:
    """The claims of a kubelet's summary with the bytes that their volumes hold, as far as it knows that.

    Raises:
        AttributeError, KeyError, OverflowError, TypeError, ValueError: it is none.
    """
    found: dict[Ref, int] = {}
    for pod in summary.get("pods") or ():
        for volume in pod.get("volume") or ():
            claim, size, of = volume.get("pvcRef"), volume.get("usedBytes"), PERSISTENT_VOLUME_CLAIM
            if claim and size is not None:
                ref = Ref(of.api_version, of.kind, claim["namespace"], claim["name"])
                if int(size) < 0:
                    raise ValueError(f"{ref} holds {size} bytes")
                found[ref] = max(int(size), found.get(ref, 0))
    return found


def _boiled(node: Object) -> Object:
    """A node's name, and where its kubelet is; an empty text where it has no address."""
    status = node.get("status") or {}
    # Of several addresses of a type the first one is the node's own choice.
    addresses = {each["type"]: each["address"] for each in reversed(status.get("addresses") or ())}
    host = addresses.get("InternalIP") or addresses.get("Hostname") or ""
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 10250
    at = f"[{host}]" if ":" in host else host
    return {"name": node["metadata"]["name"], "url": f"https://{at}:{port}" if host else ""}


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
