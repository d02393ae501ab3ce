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
    Rule,
    list_map,
    must_not_match,
    named,
)
from airfield.api.conditions import Conditions
from airfield.api.environment import Stage
from airfield.api.governance import GovernanceLabels, RequiredLabels
from airfield.api.objectmeta import ObjectMeta


class OwnerKind(StrEnum):
    """What an owner is: the kinds of subject that RBAC knows."""

    USER = "User"
    GROUP = "Group"
    SERVICE_ACCOUNT = "ServiceAccount"


class Owner(Model):
    """Who answers for the tenant."""

    RULES = (
        Rule(
            "has(self.__namespace__) == (self.kind == 'ServiceAccount')",
            "a ServiceAccount, and only that, has a namespace",
            lambda it: (it.namespace is not None) == (it.kind is OwnerKind.SERVICE_ACCOUNT),
        ),
    )

    kind: OwnerKind
    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=TEXT)] = Field(
        description="As the cluster's authentication names them."
    )
    namespace: NamespaceName | None = Field(default=None, description="Namespace of a ServiceAccount.")


class TenantNamespace(Model):
    """A namespace that belongs to the tenant: every environment in it does."""

    name: Annotated[
        NamespaceName,
        must_not_match(r"default|kube-.*", "namespaces of the system (default, kube-*) belong to no tenant"),
    ] = Field(description="Name of the namespace, which is made if there is none. It belongs to one tenant only.")
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=4), LIST_SET] | None = Field(
        default=None, description="Stages of the environments that may be in it; all of them if absent."
    )


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
    owners: Annotated[tuple[Owner, ...], Field(max_length=64), LIST_ATOMIC] = Field(
        default=(), description="Who answers for the tenant."
    )
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
    deletion_policy: TenantDeletionPolicy = Field(
        default=TenantDeletionPolicy.REFUSE,
        description="What becomes of environments and namespaces when the tenant is deleted.",
    )


class AirflowTenantStatus(Model):
    """What the operator saw last."""

    observed_generation: Generation = Field(default=-1, description="The generation that this status speaks of.")
    conditions: Conditions = Field(default=(), description="What is true; Ready is the sum.")
    environments: Count | None = Field(default=None, description="Number of environments in the tenant's namespaces.")
    in_use_by: Annotated[
        tuple[Annotated[str, StringConstraints(max_length=317)], ...], Field(max_length=20), LIST_ATOMIC
    ] = Field(default=(), description="The first of them, as namespace/name: what keeps the tenant from being deleted.")


class AirflowTenant(Model):
    """A team. The tenant of an environment follows from its namespace."""

    RULES = (named(63),)

    api_version: Literal["airfield.dev/v1alpha1"]
    kind: Literal["AirflowTenant"]
    metadata: ObjectMeta
    spec: AirflowTenantSpec
    status: AirflowTenantStatus | None = None
