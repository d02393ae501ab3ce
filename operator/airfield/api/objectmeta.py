"""The part of Kubernetes' object metadata that decisions read."""

from datetime import datetime

from pydantic import ConfigDict, Field

from airfield.api.base import Model


class ObjectMeta(Model):
    """`metadata` of a resource; what is not listed here is ignored."""

    model_config = ConfigDict(extra="ignore")

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
