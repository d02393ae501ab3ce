"""What every model of the API shares: camelCase on the wire, closed objects, rules, bounded scalar types."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic import model_validator as _model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True, slots=True)
class Rule:
    """What a schema cannot say by itself. The API server evaluates `cel`, a model `holds`; both say `message`.

    Stands in `Annotated[...]` for a scalar, list or map, and in `RULES` for a model. `holds` is None where a model
    cannot know (the rule compares with the old object) or where `resolve` reports it better, with its origin.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None

    def check(self, value: Any) -> Any:
        """Return `value`; ValueError with the message if the rule does not hold."""
        if self.holds is not None and not self.holds(value):
            raise ValueError(self.message)
        return value

    def to_json(self) -> dict[str, str]:
        return {"rule": self.cel, "message": self.message}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        return {**found, VALIDATIONS: [*found.get(VALIDATIONS, ()), self.to_json()]}


VALIDATIONS: Final = "x-kubernetes-validations"


def must_match(pattern: str, message: str) -> Rule:
    """The whole string matches `pattern`. Use it instead of a plain pattern where people need to be told what to do."""
    return Rule(f"self.matches(r'^(?:{pattern})$')", message, re.compile(pattern).fullmatch)  # type: ignore[arg-type]


def must_not_match(pattern: str, message: str) -> Rule:
    """The whole string does not match `pattern`."""
    compiled = re.compile(pattern)
    return Rule(f"!self.matches(r'^(?:{pattern})$')", message, lambda value: compiled.fullmatch(value) is None)


class Model(BaseModel):
    """A closed object of the API: unknown fields are an error here, as they are on the API server."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @_model_validator(mode="after")
    def _keep_rules(self) -> Self:
        for rule in self.RULES:
            rule.check(self)
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        if cls.RULES:
            handler.resolve_ref_schema(found)[VALIDATIONS] = [rule.to_json() for rule in cls.RULES]
        return found

    def to_json(self) -> dict[str, Any]:
        """The wire form: camelCase, only what was set. Feeding it back to `model_validate` gives an equal model."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


@dataclass(frozen=True, slots=True)
class ListType:
    """How a list is merged, and what tells its items apart: for `Annotated[...]`."""

    kind: str
    keys: tuple[str, ...] = ()

    def check(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return `items`; ValueError if two of them have the same identity."""
        seen = set()
        for item in items if self.kind != "atomic" else ():
            identity = tuple(getattr(item, key) for key in self.keys) if self.keys else item
            if identity in seen:
                raise ValueError(f"{identity[0] if self.keys else identity!r} occurs twice")
            seen.add(identity)
        return items

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        keys = {"x-kubernetes-list-map-keys": list(self.keys)} if self.keys else {}
        return {**handler(schema), "x-kubernetes-list-type": self.kind, **keys}


def list_map(*keys: str) -> ListType:
    """A list whose items are told apart by the fields `keys`: duplicates are refused, several appliers can share it."""
    return ListType("map", keys)


LIST_SET: Final = ListType("set")
LIST_ATOMIC: Final = ListType("atomic")

DNS_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
QUANTITY = r"^([1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"

# Control characters and invisible line breaks: no file that such a text is written into can carry them as they are.
TEXT = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f\x{2028}\x{2029}\x{feff}\x{fffe}\x{ffff}]*$"
ONE_LINE = TEXT.replace(r"\x00-\x08\x0b-\x1f", r"\x00-\x1f")


def named(longest: int) -> Rule:
    """Rule of a whole resource: `metadata.name` is a DNS label of at most `longest` characters."""
    return Rule(
        f"size(self.metadata.name) <= {longest} && self.metadata.name.matches('{DNS_LABEL}')",
        f"metadata.name must be a DNS label of at most {longest} characters that starts with a letter",
        lambda it: len(it.metadata.name) <= longest and re.fullmatch(DNS_LABEL, it.metadata.name) is not None,
    )


Label = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=DNS_LABEL)]
"""A DNS label that starts with a letter: what a Service's name must be."""
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
"""The name of a Secret, ConfigMap, StorageClass, PriorityClass."""
NamespaceName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
SecretKey = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
ImageReference = Annotated[
    str, StringConstraints(min_length=1, max_length=500, pattern=r"^[a-z0-9]([-a-zA-Z0-9._:/@]*[a-zA-Z0-9])?$")
]
VersionName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9A-Z]([-a-zA-Z0-9._]*[a-zA-Z0-9])?$")
]
"""An exact version (`3.3.2`) or the name of a channel (`stable`)."""
Quantity = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=QUANTITY)]
"""A Kubernetes quantity greater than zero, written as a string: `500m`, `1.5`, `2Gi`."""
VolumeSize = Annotated[str, StringConstraints(min_length=2, max_length=12, pattern=r"^[1-9][0-9]*(M|G|T|Mi|Gi|Ti)$")]
"""Whole mega-, giga- or terabytes: what every storage provider can make."""
LabelKey = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, StringConstraints(max_length=63, pattern=r"^([a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?)?$")]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=32)]
Message = Annotated[str, StringConstraints(max_length=4096)]
Generation = Annotated[int, Field(ge=-1, le=2**53)]
"""A `metadata.generation`; -1 before the operator has looked."""
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class SecretReference(Model):
    """A Secret in the environment's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class SecretKeyReference(Model):
    """One key of a Secret in the environment's namespace."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: SecretKey = Field(description="Key in the Secret's data.")
