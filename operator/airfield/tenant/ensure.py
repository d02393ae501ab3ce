"""Brings a tenant's namespaces, and what it has in them, to what is wanted."""

import contextlib
import logging
from collections.abc import Collection, Mapping
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
from airfield.kube.kinds import ROLE, Ref
from airfield.kube.ownership import owned_fields
from airfield.tenant.access import access, belonging
from airfield.tenant.limits import limits_of, quota_of
from airfield.tenant.namespaces import POD_SECURITY, labelled, made, refused, stamps, to_stamp

log = logging.getLogger(__name__)


async def ensure_namespaces(doors: Doors, tenant: AirflowTenant) -> tuple[set[str], list[Problem]]:
    """Make, adopt and label the tenant's namespaces, and let go of those that are its own no more.

    The namespaces that can be used, and what is wrong with the others. An operator that is restricted to chosen
    namespaces makes and labels none.
    """
    name, labels = tenant.metadata.name, stamps(tenant)
    chosen = doors.settings.watch_namespaces
    listed = {place.name for place in tenant.spec.namespaces}
    usable: set[str] = set()
    problems: list[Problem] = []
    for namespace in sorted(listed):
        problem = refused(namespace, name, doors.resources)
        if problem is not None:
            problems.append(problem)
        elif chosen:
            usable |= {namespace} & set(chosen)
        else:
            try:
                usable |= {namespace} if await _stamp(doors, namespace, name, labels) else set()
            except ApiError as error:
                if error.transient:
                    raise
                problems.append(Problem(Reason.API_REFUSED, f"namespace {namespace!r}: {error.message}"))
    for namespace in sorted(doors.resources.stamped(name) - listed):
        await let_go(doors, namespace)
    return usable, problems


async def _stamp(doors: Doors, namespace: str, tenant: str, labels: Mapping[str, str]) -> bool:
    """Whether the namespace is there, with the labels. If not, somebody else has just made it: the watch will tell."""
    resources = doors.resources
    if namespace not in resources.namespaces:
        live = await doors.kube.create(made(namespace, tenant))
        if live is None:
            return False
        log.info("made namespace %s", namespace)
        resources.observe_namespace(live)
    known = resources.namespaces[namespace]
    if to_stamp(known, labels):
        resources.observe_namespace(await doors.kube.apply(labelled(namespace, known, labels)))
    return True


async def let_go(doors: Doors, namespace: str) -> None:
    """Take the tenant's labels off a namespace. That it is restricted stays: what runs there has not changed."""
    known = doors.resources.namespaces[namespace]
    if not known.deleting:
        doors.resources.observe_namespace(await doors.kube.apply(labelled(namespace, known, POD_SECURITY)))
        log.info("let go of namespace %s", namespace)


async def ensure_belongings(
    doors: Doors, tenant: AirflowTenant, namespaces: Collection[str]
) -> tuple[str | None, list[Problem]]:
    """Apply what the tenant has in its namespaces, and remove what nothing wants any more.

    A digest of what was applied, by which an operator that starts anew knows it; None when something was refused.
    """
    name = tenant.metadata.name
    key, belongings = ("", name), doors.belongings
    wanted: list[dict[str, Any]] = []
    shares = {namespace: granted(doors, {namespace}) for namespace in namespaces}
    classes = _classes(doors, tenant)
    for namespace in sorted(namespaces):
        elsewhere = [ask for other, asks in shares.items() if other != namespace for ask in asks]
        found = [
            *access(tenant, _specifications(doors, namespace)),
            *quota_of(tenant, shares[namespace], elsewhere),
            *limits_of(tenant, classes),
        ]
        wanted += [belonging(tenant, namespace, manifest) for manifest in found]
    if tenant.status and tenant.status.applied:
        belongings.recognise(key, wanted, tenant.status.applied)
    applier = Applier(doors.kube, belongings, key, f"tenant {name!r}", _is_ours)
    # Only who has a right may grant it, and what a Role grants is not known before there is one.
    refusals = await applier.apply(manifest for manifest in wanted if manifest["kind"] == ROLE.kind)
    refusals = refusals or await applier.apply(manifest for manifest in wanted if manifest["kind"] != ROLE.kind)
    refs = {Ref.of(manifest) for manifest in wanted}
    await remove_belongings(doors, name, but=refs)
    return belongings.fingerprint(key, refs) or None, [Problem(Reason.APPLY_REFUSED, refusal) for refusal in refusals]


async def remove_belongings(doors: Doors, tenant: str, *, but: Collection[Ref] = ()) -> None:
    """Remove what the tenant has in namespaces, but for these."""
    for ref, child in sorted(doors.belongings.children(("", tenant)).items()):
        if ref not in but and not child.deleting:
            await doors.kube.delete(ref, uid=child.uid)
            log.info("removed %s", ref)


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
