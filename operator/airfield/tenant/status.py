"""The status of a tenant. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from airfield.api.conditions import Condition, ConditionType, carry_transitions, with_stalled
from airfield.api.tenant import AirflowTenant, AirflowTenantStatus
from airfield.environment.reasons import Reason


def tenant_status(
    tenant: AirflowTenant, contested: Mapping[str, Sequence[str]], environments: int, now: datetime
) -> AirflowTenantStatus:
    """`contested`: namespaces that other tenants claim too, with their names. `environments`: how many it has."""
    clashes = [f"{namespace} (also claimed by {', '.join(others)})" for namespace, others in sorted(contested.items())]
    generation = tenant.metadata.generation
    ready = Condition(
        type=ConditionType.READY.value,
        status="False" if clashes else "True",
        observed_generation=generation,
        last_transition_time=now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        reason=(Reason.NAMESPACE_CONFLICT if clashes else Reason.SUCCEEDED).value,
        message=f"namespaces can belong to one tenant only: {'; '.join(clashes)}; remove them from all tenants but one"[
            :4096
        ]
        if clashes
        else "",
    )
    previous = tenant.status.conditions if tenant.status else ()
    return AirflowTenantStatus(
        observed_generation=generation,
        conditions=carry_transitions(previous, with_stalled(ready)),
        environments=environments,
    )
