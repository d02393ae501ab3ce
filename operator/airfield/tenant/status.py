"""The status of a tenant. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from airfield.api.conditions import verdict
from airfield.api.tenant import AirflowTenant, AirflowTenantStatus
from airfield.environment.reasons import Reason


def tenant_status(
    tenant: AirflowTenant, contested: Mapping[str, Sequence[str]], environments: int, now: datetime
) -> AirflowTenantStatus:
    """`contested`: namespaces that other tenants claim too, with their names. `environments`: how many it has."""
    clashes = [f"{namespace} (also claimed by {', '.join(others)})" for namespace, others in sorted(contested.items())]
    what = f"namespaces can belong to one tenant only: {'; '.join(clashes)}; remove them from all tenants but one"
    generation = tenant.metadata.generation
    return AirflowTenantStatus(
        observed_generation=generation,
        conditions=verdict(
            tenant.status.conditions if tenant.status else (),
            well=not clashes,
            reason=Reason.NAMESPACE_CONFLICT if clashes else Reason.SUCCEEDED,
            message=what if clashes else "",
            generation=generation,
            now=now,
        ),
        environments=environments,
    )
