"""AirflowTenant: a team, its owners, its namespaces and what it may use."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from airfield.api.base import (
    LIST_ATOMIC,
    LIST_SET,
    TEXT,
    Count,
    Generation,
    Label,
    Model,
    NamespaceName,
    Quantity,
    Rule,
    list_map,
    named,
)
from airfield.api.conditions import Conditions
from airfield.api.environment import Amount, Stage
from airfield.api.governance import GovernanceLabels, RequiredLabels
from airfield.api.identity import TenantIdentity
from airfield.api.network import Egresses
from airfield.api.objectmeta import ObjectMeta


class SubjectKind(StrEnum):
    """The kinds of subject that RBAC knows."""

    USER = "User"
    GROUP = "Group"
    SERVICE_ACCOUNT = "ServiceAccount"


class Subject(Model):
    """Somebody, or something, that has a role in the tenant's namespaces."""

    RULES = (
        Rule(
            "has(self.__namespace__) == (self.kind == 'ServiceAccount')",
            "a ServiceAccount, and only that, has a namespace",
            lambda it: (it.namespace is not None) == (it.kind is SubjectKind.SERVICE_ACCOUNT),
        ),
    )

    kind: SubjectKind
    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=TEXT)] = Field(
        description="As the cluster's authentication names them."
    )
    namespace: NamespaceName | None = Field(default=None, description="Namespace of a ServiceAccount.")


Subjects = Annotated[tuple[Subject, ...], Field(max_length=64), LIST_ATOMIC]


class TenantNamespace(Model):
    """A namespace that belongs to the tenant: every environment in it does."""

    name: Annotated[
        NamespaceName,
        # The tenant's controller says it of one that was stored before there was this rule.
        Rule(
            "self != 'default' && !self.startsWith('kube-')",
            "namespaces of the system (default, kube-*) belong to no tenant",
        ),
    ] = Field(description="Name of the namespace, which is made if there is none. It belongs to one tenant only.")
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=4), LIST_SET] | None = Field(
        default=None, description="Stages of the environments that may be in it; all of them if absent."
    )


class StageQuota(Model):
    """How many environments of a stage there may be."""

    stage: Stage
    environments: Count = Field(description="The most.")


class Quota(Model):
    """The most that a tenant's environments may have together. What is granted is never taken away."""

    environments: Count | None = Field(default=None, description="Number of environments.")
    stages: Annotated[tuple[StageQuota, ...], Field(max_length=4), list_map("stage")] = Field(
        default=(), description="Number of environments of a stage."
    )
    cpu: Quantity | None = Field(default=None, description="CPU that pods request, task pods included.")
    memory: Quantity | None = Field(default=None, description="Memory that pods request, task pods included.")
    storage: Quantity | None = Field(default=None, description="Size of all volumes.")

    def resources(self) -> dict[str, str]:
        """Those of cpu, memory and storage that are limited."""
        found = {"cpu": self.cpu, "memory": self.memory, "storage": self.storage}
        return {name: limit for name, limit in found.items() if limit is not None}


class QuotaUse(Model):
    """What is used of something that is limited."""

    name: Annotated[str, StringConstraints(max_length=32)] = Field(
        description="`environments`, a stage, `cpu`, `memory` or `storage`."
    )
    used: Amount = Field(description="By environments; of cpu and memory without task pods.")
    limit: Amount = Field(description="What the quota allows.")


Summary = Annotated[str, StringConstraints(max_length=256)]
"""For a column of `kubectl get`."""


class TenantDeletionPolicy(StrEnum):
    """What becomes of a tenant's environments and namespaces when the tenant is deleted."""

    REFUSE = "Refuse"
    """It is not deleted as long as there are environments; its namespaces stay."""
    ORPHAN = "Orphan"
    """All of them stay. The environments run on, and are not changed until another tenant has their namespaces."""
    DELETE = "Delete"
    """Environments are deleted, each by its own policy; then the namespaces that were made for the tenant."""


class AirflowTenantSpec(Model):
    """What the platform team grants a team."""

    display_name: Annotated[str, StringConstraints(max_length=128, pattern=TEXT)] | None = Field(
        default=None, description="The team's name for people."
    )
    owners: Subjects = Field(
        default=(), description="Who answers for the tenant: editors who can also log in as the first administrator."
    )
    editors: Subjects = Field(
        default=(), description="Who may create, change and delete environments and the Secrets that they refer to."
    )
    viewers: Subjects = Field(default=(), description="Who may see environments, their objects and their logs.")
    namespaces: Annotated[tuple[TenantNamespace, ...], Field(max_length=64), list_map("name")] = Field(
        default=(), description="The tenant's namespaces: their environments are the tenant's."
    )
    allowed_classes: Annotated[tuple[Label, ...], Field(max_length=64), LIST_SET] = Field(
        default=(), description="Classes that the tenant's environments may use."
    )
    labels: GovernanceLabels | None = Field(
        default=None,
        description="Stamped on every object and pod of the tenant's environments, which cannot say otherwise.",
    )
    required_labels: RequiredLabels = Field(
        default=(), description="Labels that each environment must have, from the tenant or of its own."
    )
    egress: Egresses = Field(
        default=(), description="What DAGs may reach, beside what the class allows: nothing else leaves an environment."
    )
    identity: TenantIdentity | None = None
    quota: Quota | None = Field(default=None, description="The most that all environments may have together.")
    deletion_policy: TenantDeletionPolicy = Field(
        default=TenantDeletionPolicy.REFUSE,
        description="What becomes of environments and namespaces when the tenant is deleted.",
    )


class AirflowTenantStatus(Model):
    """What the operator saw last."""

    observed_generation: Generation = Field(default=-1, description="The generation that this status speaks of.")
    conditions: Conditions = Field(default=(), description="What is true; Ready is the sum.")
    environments: Count | None = Field(default=None, description="Number of environments in the tenant's namespaces.")
    quota: Annotated[tuple[QuotaUse, ...], Field(max_length=8), list_map("name")] = Field(
        default=(), description="What is used of the quota."
    )
    applied: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Digest of what was applied in its namespaces."
    )
    stages: Summary | None = Field(default=None, description="Number of environments by stage: `dev 3, prod 1`.")
    quota_used: Summary | None = Field(default=None, description="`environments 4/10, cpu 1350m/20`.")
    in_use_by: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=317)], ...], Field(max_length=20), LIST_ATOMIC
    ] = Field(
        default=(),
        description="The first of those that are not being deleted, as namespace/name: what keeps the tenant from it.",
    )


class AirflowTenant(Model):
    """A team. The tenant of an environment follows from its namespace."""

    RULES = (named(63),)

    api_version: Literal["airfield.dev/v1alpha1"]
    kind: Literal["AirflowTenant"]
    metadata: ObjectMeta
    spec: AirflowTenantSpec
    status: AirflowTenantStatus | None = None
