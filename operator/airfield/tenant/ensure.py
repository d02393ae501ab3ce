"""Brings a tenant's namespaces, and what it has in them, to what is wanted."""

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from airfield.api import meta
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.tenant import AirflowTenant
from airfield.environment.checks import Problem
from airfield.environment.ensure.run import Doors
from airfield.environment.quota import Ask, ask_of
from airfield.environment.reasons import Reason
from airfield.environment.unreadable import read
from airfield.kube.applier import Applier
from airfield.kube.errors import ApiError
from airfield.kube.kinds import NAMESPACE, ROLE, SECRET, Ref
from airfield.kube.ownership import owned_fields
from airfield.tenant.access import access, belonging
from airfield.tenant.limits import limits_of, quota_of
from airfield.tenant.namespaces import POD_SECURITY, labelled, made, refused, stamps, to_stamp
from airfield.tenant.network import isolation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holding:
    """The namespaces of a tenant."""

    usable: set[str]
    unsure: set[str]
    """Those whose labels were refused: what the tenant has there stays as it is."""
    problems: list[Problem]


async def ensure_namespaces(doors: Doors, tenant: AirflowTenant) -> Holding:
    """Make, adopt and label the tenant's namespaces, and let go of those that are its own no more.

    An operator that is restricted to chosen namespaces makes and labels none.
    """
    name, labels = tenant.metadata.name, stamps(tenant)
    chosen = doors.settings.watch_namespaces
    listed = {place.name for place in tenant.spec.namespaces}
    usable: set[str] = set()
    unsure: set[str] = set()
    problems: list[Problem] = []
    for namespace in sorted(listed):
        problem = refused(namespace, name, doors.resources)
        if problem is not None:
            problems.append(problem)
        elif chosen:
            usable |= {namespace} & set(chosen)
        else:
            unsure.add(namespace)
            with refusals(problems, namespace):
                if await _stamp(doors, namespace, name, labels):
                    usable.add(namespace)
                unsure.remove(namespace)
    problems += await let_go(doors, name, doors.resources.stamped(name) - listed)
    return Holding(usable, unsure, problems)


@contextlib.contextmanager
def refusals(problems: list[Problem], namespace: str) -> Iterator[None]:
    """What the API server refuses within the block becomes a problem."""
    try:
        yield
    except ApiError as error:
        if error.transient:
            raise
        problems.append(Problem(Reason.API_REFUSED, f"namespace {namespace!r}: {error.message}"))


async def _stamp(doors: Doors, namespace: str, tenant: str, labels: Mapping[str, str]) -> bool:
    """Whether the namespace is there, with the labels. If not, somebody else has just made it: the watch will tell."""
    resources = doors.resources
    if namespace not in resources.namespaces:
        live = await doors.kube.create(made(namespace, tenant))
        if live is None:
            return False
        log.info("made namespace %s", namespace)
        doors.tell(NAMESPACE, live, deleted=False)
    known = resources.namespaces[namespace]
    if to_stamp(known, labels):
        doors.tell(NAMESPACE, await doors.kube.apply(labelled(namespace, known, labels)), deleted=False)
    return True


async def let_go(doors: Doors, tenant: str, namespaces: Iterable[str]) -> list[Problem]:
    """Take a tenant's labels off namespaces that still have them. They stay restricted: so does what runs there."""
    problems: list[Problem] = []
    for namespace in sorted(namespaces):
        known = doors.resources.namespaces.get(namespace)
        with refusals(problems, namespace):
            if known is not None and known.tenant == tenant and not known.deleting:
                live = await doors.kube.apply(labelled(namespace, known, POD_SECURITY))
                doors.tell(NAMESPACE, live, deleted=False)  # who has labelled it meanwhile does so again
                log.info("let go of namespace %s", namespace)
    return problems


async def ensure_belongings(doors: Doors, tenant: AirflowTenant, holding: Holding) -> tuple[str | None, list[Problem]]:
    """Apply what the tenant has in its namespaces, and remove what nothing wants any more.

    A digest of what was applied, by which an operator that starts anew knows it; None when something was refused.
    """
    name = tenant.metadata.name
    key, belongings = ("", name), doors.belongings
    wanted = [
        belonging(tenant, namespace, manifest)
        for namespace in sorted(holding.usable)
        for manifest in _wanted(doors, tenant, namespace, holding.usable | holding.unsure)
    ]
    if tenant.status and tenant.status.applied:
        belongings.recognise(key, wanted, tenant.status.applied)
    applier = Applier(doors.kube, belongings, key, f"tenant {name!r}", _is_ours)
    # Only who has a right may grant it, and what a Role grants is not known before there is one.
    refused_refs = await applier.apply(manifest for manifest in wanted if manifest["kind"] == ROLE.kind)
    foreign = {(ref.namespace, ref.name) for ref in refused_refs}
    refused_refs |= await applier.apply(
        manifest for manifest in wanted if manifest["kind"] != ROLE.kind and _bound_role(manifest) not in foreign
    )
    refs = {Ref.of(manifest) for manifest in wanted}
    spared = {ref for ref in belongings.children(key) if ref.namespace in holding.unsure}
    await remove_belongings(doors, name, but=refs | spared)
    problems = [Problem(Reason.APPLY_REFUSED, refused_refs[ref]) for ref in sorted(refused_refs)]
    return belongings.fingerprint(key, refs) or None, problems


def _wanted(
    doors: Doors, tenant: AirflowTenant, namespace: str, namespaces: Collection[str]
) -> Iterator[dict[str, Any]]:
    """What the tenant has in one of its namespaces."""
    here, elsewhere = granted(doors, {namespace}), granted(doors, {*namespaces} - {namespace})
    yield from access(tenant, _specifications(doors, namespace), _generated(doors, namespace))
    if not _unknown(doors, {namespace}):  # what nobody has counted must not be kept from coming back
        yield from quota_of(tenant, here, elsewhere, _orphaned_storage(doors, namespace))
        yield from limits_of(tenant, _classes(doors, tenant), here)
    yield from isolation()


async def remove_belongings(doors: Doors, tenant: str, *, but: Collection[Ref] = ()) -> None:
    """Remove what the tenant has in namespaces, but for these. What others have labelled as the tenant's stays."""
    for ref, child in sorted(doors.belongings.children(("", tenant)).items()):
        if ref not in but and child.owned and not child.deleting:
            await doors.kube.delete(ref, uid=child.uid)
            log.info("removed %s", ref)


def _bound_role(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """The Role, by namespace and name, that a RoleBinding binds."""
    role = manifest.get("roleRef", {})
    return (manifest["metadata"]["namespace"], role["name"]) if role.get("kind") == ROLE.kind else None


def _is_ours(live: Mapping[str, Any]) -> bool:
    """By its labels, whichever tenant had the namespace before; where they are gone, by our having applied it."""
    labels = live["metadata"].get("labels") or {}
    ours = labels.get(meta.LABEL_MANAGED_BY) == meta.MANAGED_BY and meta.LABEL_ENVIRONMENT not in labels
    return ours or owned_fields(live) is not None


def granted(doors: Doors, namespaces: Collection[str]) -> list[Ask]:
    """What the environments of some namespaces have of the tenant's quota."""
    environments = doors.resources.environments
    asks = (ask_of(environments[key].get("status") or {}) for key in doors.resources.in_namespaces(set(namespaces)))
    return [ask for ask in asks if ask is not None]


def _unknown(doors: Doors, namespaces: set[str]) -> bool:
    """Whether something runs there of which nobody knows what it asks for: an earlier operator made it."""
    bodies = (doors.resources.environments[key] for key in doors.resources.in_namespaces(namespaces))
    statuses = [body.get("status") or {} for body in bodies]
    return any(status.get("applied") and ask_of(status) is None for status in statuses)


def _generated(doors: Doors, namespace: str) -> set[str]:
    """The Secrets of a namespace that the operator made, of environments that are gone, too."""
    children = (doors.inventory.children(key) for key in doors.inventory.in_namespace(namespace))
    return {
        ref.name
        for found in children
        for ref, child in found.items()
        if ref.kind == SECRET.kind and child.labels.get(meta.LABEL_MANAGED_BY) == meta.MANAGED_BY
    }


def _orphaned_storage(doors: Doors, namespace: str) -> list[str]:
    """The sizes of volumes that environments have left behind: they take room, and nobody's share."""
    gone = doors.inventory.in_namespace(namespace) - doors.resources.environments.keys()
    claims = (child.state.claim for key in sorted(gone) for child in doors.inventory.children(key).values())
    return [claim.size for claim in claims if claim is not None]


def _classes(doors: Doors, tenant: AirflowTenant) -> dict[str, AirflowEnvironmentClass]:
    """Those of the tenant's classes that exist and can be read."""
    found = {}
    for name in tenant.spec.allowed_classes:
        with contextlib.suppress(KeyError, ValidationError):
            found[name] = read(AirflowEnvironmentClass, doors.resources.classes[name])
    return found


def _specifications(doors: Doors, namespace: str) -> dict[str, Mapping[str, Any]]:
    """The specification of each environment of a namespace, as it is in the cluster."""
    environments = doors.resources.environments
    return {key[1]: environments[key].get("spec") or {} for key in doors.resources.in_namespaces({namespace})}
