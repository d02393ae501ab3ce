"""The phases Rendered and Applied: from the specification to objects in the cluster, and none too many."""

import logging
from collections.abc import Sequence

from airfield.api import meta
from airfield.environment.admit import Manifest, NotAdmitted
from airfield.environment.ensure.run import Run
from airfield.environment.health import judge_workloads
from airfield.environment.outcome import Done, Outcome, Stall
from airfield.environment.reasons import Reason
from airfield.environment.render import render
from airfield.environment.rollout import is_job, phase_of, prunable
from airfield.environment.secrets import Key
from airfield.environment.template.sandbox import ValuesError
from airfield.environment.values import Endpoint
from airfield.helm.manifests import HelmError
from airfield.kube.inventory import Child
from airfield.kube.kinds import CERTIFICATE, HTTP_ROUTE, Ref, kind_of

log = logging.getLogger(__name__)

_MISSING = {
    HTTP_ROUTE: "install the definitions of the Gateway API, or let the class use an ingress",
    CERTIFICATE: "install cert-manager, or let the class name a Secret in exposure.ingress.tls.secretName",
}
_PODS = frozenset({"Deployment", "StatefulSet"})


async def ensure_rendered(run: Run) -> Outcome:
    """Values by the class's template, objects by Helm, admission by our own rules."""
    digests = {
        name: fact.fingerprint for name, fact in run.facts.items() if name != Key.ADMIN.secret(run.effective.name)
    }
    external = None
    if run.effective.database_mode == "external":
        content = run.contents[Key.DATABASE.secret(run.effective.name)]
        external = Endpoint(content["host"], int(content["port"]), content["sslmode"])
    try:
        run.rendered = await render(
            run.doors.helm,
            run.doors.templates,
            run.doors.settings.chart,
            run.effective,
            digests,
            owner=run.owner,
            operator_namespace=run.doors.settings.namespace,
            kube_version=run.doors.kube_version,
            external=external,
        )
    except ValuesError as error:
        return Stall(Reason.TEMPLATE_FAILED, f"{error}; {_whose(run)} must mend it")
    except HelmError as error:
        advice = f"; if its values are wrong, {_whose(run)} must mend spec.valuesTemplate"
        return Stall(Reason.CHART_FAILED, f"{error}{advice if run.effective.values_template else ''}")
    except NotAdmitted as error:
        return Stall(Reason.NOT_ADMITTED, f"{error}; {_whose(run)} must mend spec.valuesTemplate, or the chart")
    run.fit()
    run.objects = len(run.manifests)
    if run.previous.applied:
        run.doors.inventory.recognise(run.key, _lasting(run), run.previous.applied)
    return Done(f"{run.objects} objects")


def _whose(run: Run) -> str:
    return f"who looks after class {run.effective.class_name!r}"


def _lasting(run: Run) -> list[Manifest]:
    """What stays: a Job is made once, and goes in its time."""
    return [manifest for manifest in run.manifests if not is_job(manifest)]


async def ensure_applied(run: Run) -> Outcome:
    """Everything, what pods need before the pods, but no migration anew; then what nothing wants any more goes."""
    stall = _unserved(run)
    if stall is not None:
        return stall
    rest = [manifest for manifest in run.manifests if phase_of(manifest) == "workloads" and not is_job(manifest)]
    late = {"RoleBinding", *_PODS}  # they refer to the others
    stall = await run.apply(m for m in rest if m["kind"] not in late)
    stall = stall or await run.apply(m for m in rest if m["kind"] == "RoleBinding")
    stall = stall or await run.apply(m for m in rest if m["kind"] in _PODS)
    stall = stall or await run.apply(m for m in run.manifests if is_job(m) and Ref.of(m) in run.children)
    if stall is not None:
        return stall
    desired = {Ref.of(manifest) for manifest in (*run.manifests, *run.derived)}
    wanted = {ref: child for ref, child in run.children.items() if ref in desired or ref.kind == "Pod"}
    unwanted = prunable(run.children, desired)
    if unwanted and isinstance(judge_workloads(wanted), Done):  # until the new serves, the old may need what it had
        await _prune(run, unwanted)
    inventory = run.doors.inventory
    run.applied = inventory.fingerprint(run.key, map(Ref.of, _lasting(run)))
    run.settled_at = inventory.revision(run.key) if run.applied and not unwanted else None
    return Done("; ".join([f"{run.objects} objects", *run.notes]))


def _unserved(run: Run) -> Stall | None:
    """Whether the API server lacks a kind that there is to be an object of; its definition may come later."""
    lacking = {kind_of(manifest) for manifest in run.manifests} & {*run.doors.unserved}
    if not lacking:
        return None
    kind = min(lacking, key=str)
    return Stall(
        Reason.KIND_NOT_SERVED,
        f"exposure of class {run.effective.class_name!r} needs {kind.kind} of {kind.api_version}, which this"
        f" cluster does not serve: {_MISSING[kind]}",
    )


async def _prune(run: Run, unwanted: Sequence[Child]) -> None:
    for child in unwanted:
        live = await run.doors.kube.get(child.ref)
        owners = live["metadata"].get("ownerReferences", []) if live else []
        if live is None or live["metadata"]["labels"].get(meta.LABEL_ENVIRONMENT) != run.effective.name:
            continue
        if not any(owner.get("uid") == run.owner["uid"] for owner in owners):
            continue  # another environment's, of the same name
        await run.doors.kube.delete(child.ref, uid=child.uid)
        log.info("pruned %s", child.ref)
