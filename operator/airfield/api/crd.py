"""From the models to CustomResourceDefinitions: names, columns and the schema of each kind."""

from dataclasses import dataclass
from typing import Any, Final

from airfield.api import meta
from airfield.api.base import VALIDATIONS, Model
from airfield.api.environment import AirflowEnvironment
from airfield.api.environment_class import AirflowEnvironmentClass
from airfield.api.structural import prose, structural
from airfield.api.tenant import AirflowTenant

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; those that are not `always` shown need `-o wide`."""

    name: str
    path: str
    type: str = "string"
    always: bool = True

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "type": self.type,
            "jsonPath": self.path,
            **({} if self.always else {"priority": 1}),
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource: its model and what the API server must know beside the schema."""

    model: type[Model]
    plural: str
    short_name: str
    namespaced: bool
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return self.model.__name__


_READY: Final = '.status.conditions[?(@.type=="Ready")]'
_HEALTH: Final = (Column("Ready", f"{_READY}.status"), Column("Status", f"{_READY}.reason"))
_ENVIRONMENTS: Final = Column("Environments", ".status.environments", "integer")
_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
_MESSAGE: Final = Column("Message", f"{_READY}.message", always=False)

KINDS: Final = (
    Kind(
        AirflowEnvironment,
        plural="airflowenvironments",
        short_name="afenv",
        namespaced=True,
        columns=(
            *_HEALTH,
            Column("Version", ".status.version"),
            Column("Tenant", ".status.tenant"),
            Column("Class", ".spec.className"),
            _AGE,
            Column("Executor", ".status.executor", always=False),
            Column("URL", ".status.url", always=False),
            _MESSAGE,
        ),
    ),
    Kind(
        AirflowTenant,
        plural="airflowtenants",
        short_name="aftenant",
        namespaced=False,
        columns=(
            *_HEALTH,
            _ENVIRONMENTS,
            Column("Stages", ".status.stages"),
            Column("Quota", ".status.quotaUsed"),
            _AGE,
            _MESSAGE,
        ),
    ),
    Kind(
        AirflowEnvironmentClass,
        plural="airflowenvironmentclasses",
        short_name="afclass",
        namespaced=False,
        columns=(*_HEALTH, _ENVIRONMENTS, _AGE, _MESSAGE),
    ),
)


def definition(kind: Kind) -> Json:
    """The CustomResourceDefinition (`apiextensions.k8s.io/v1`) of `kind`. SchemaError names the field at fault."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{meta.GROUP}"},
        "spec": {
            "group": meta.GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": ["airfield"],
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [
                {
                    "name": meta.VERSION,
                    "served": True,
                    "storage": True,
                    "additionalPrinterColumns": [column.to_json() for column in kind.columns],
                    "schema": {"openAPIV3Schema": resource_schema(kind.model)},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def resource_schema(model: type[Model]) -> Json:
    """The schema of a whole resource: `metadata` is the API server's, `status` starts with its fields' defaults."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})
    spec, status = (structural(schema["properties"][part], definitions, part) for part in ("spec", "status"))
    status["default"] = {name: field["default"] for name, field in status["properties"].items() if "default" in field}
    root = {
        "type": "object",
        "description": prose(schema["description"]),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {meta.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {model.__name__}."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }
    return {**root, **{key: schema[key] for key in (VALIDATIONS,) if key in schema}}
