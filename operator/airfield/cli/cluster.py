"""What the commands read of a cluster. They write nothing."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from airfield.api import meta
from airfield.cli.output import Failure
from airfield.kube import credentials
from airfield.kube.client import KubeClient
from airfield.kube.errors import ApiError
from airfield.kube.kinds import AIRFLOW_ENVIRONMENT, AIRFLOW_TENANT, Ref

Object = dict[str, Any]


@contextlib.asynccontextmanager
async def connect(context: str | None) -> AsyncIterator[tuple[KubeClient, str]]:
    """A client of the cluster, and the namespace of its context. What goes wrong becomes a Failure."""
    try:
        found = credentials.load(context)
    except credentials.CredentialsError as error:
        raise Failure(str(error)) from None
    except (TypeError, LookupError, AttributeError, ValueError) as error:
        raise Failure(f"the kubeconfig is malformed: {type(error).__name__}: {error}") from None
    if "://" not in found.url:
        raise Failure(f"the kubeconfig names no server for this context, but {found.url!r}")
    try:
        async with KubeClient(found) as kube:
            yield kube, found.namespace
    except ApiError as error:
        hint = "; is Airfield installed in this cluster?" if error.not_found else ""
        raise Failure(f"{error.message}{hint}") from None


async def environment(kube: KubeClient, namespace: str, name: str) -> Object:
    """One environment; Failure if there is none."""
    found = await kube.get(Ref(meta.API_VERSION, "AirflowEnvironment", namespace, name))
    if found is None:
        raise Failure(f"there is no AirflowEnvironment {name!r} in namespace {namespace!r}")
    return found


async def environments(kube: KubeClient, namespace: str | None) -> list[Object]:
    """The environments of one namespace, or of all, sorted."""
    found = await kube.list(AIRFLOW_ENVIRONMENT, namespace)
    return sorted(found, key=lambda body: (body["metadata"]["namespace"], body["metadata"]["name"]))


async def tenants(kube: KubeClient) -> dict[str, Object]:
    """All tenants by name."""
    return {body["metadata"]["name"]: body for body in await kube.list(AIRFLOW_TENANT)}


async def classes(kube: KubeClient, names: Iterable[str]) -> dict[str, Object]:
    """Those of the classes that exist, by name."""
    found = {name: await kube.get(Ref(meta.API_VERSION, "AirflowEnvironmentClass", "", name)) for name in sorted(names)}
    return {name: body for name, body in found.items() if body is not None}
