"""The parts of an environment: how many, how large, and where they run."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from airfield.api.base import LIST_ATOMIC, Labels, Model, ObjectName, Quantity


class Resources(Model):
    """CPU and memory of one container; what is absent comes from the layers below, limits also from ceilings."""

    class Amounts(Model):
        """Amounts of what a node has."""

        cpu: Quantity | None = Field(default=None, description="Cores: `500m`, `2`.")
        memory: Quantity | None = Field(default=None, description="Bytes: `512Mi`, `2Gi`.")

    requests: Amounts | None = Field(default=None, description="What the scheduler sets aside.")
    limits: Amounts | None = Field(default=None, description="What the container may use at most.")


class Toleration(Model):
    """A taint that a pod puts up with (`core/v1` Toleration)."""

    key: Annotated[str, StringConstraints(max_length=316)] | None = Field(
        default=None, description="Key of the taint; every taint if absent (`operator` must then be Exists)."
    )
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Equal if absent.")
    value: Annotated[str, StringConstraints(max_length=63)] | None = Field(
        default=None, description="Value of the taint, for Equal."
    )
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint; every effect if absent."
    )


class Scheduling(Model):
    """Where the pods of a component may run, and what they may use."""

    resources: Resources | None = None
    node_selector: Labels | None = Field(default=None, description="Labels that a node must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16), LIST_ATOMIC] | None = Field(
        default=None, description="Taints that the pods put up with."
    )
    priority_class_name: ObjectName | None = Field(
        default=None, description="PriorityClass of the pods; none called `system-…`, which are for the cluster itself."
    )


class Component(Scheduling):
    """A long-running part of Airflow."""

    replicas: Annotated[int, Field(ge=1, le=10)] | None = Field(default=None, description="Number of pods.")


class Triggerer(Scheduling):
    """The triggerer may be switched off: 0 replicas. Deferrable operators then wait for ever."""

    replicas: Annotated[int, Field(ge=0, le=10)] | None = Field(default=None, description="Number of pods.")


class Components(Model):
    """Overrides for each component."""

    api_server: Component | None = Field(default=None, description="REST API and user interface.")
    scheduler: Component | None = Field(default=None, description="Starts task instances; runs them (LocalExecutor).")
    dag_processor: Component | None = Field(default=None, description="Fetches and parses DAGs.")
    triggerer: Triggerer | None = None
    workers: Scheduling | None = Field(default=None, description="Task pods (KubernetesExecutor).")
