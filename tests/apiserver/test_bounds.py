"""Every bound, pattern and enumeration of the specifications: what is at it is taken, what is beyond it is refused."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import pytest

from airfield.api.crd import KINDS, definition
from apiserver.test_crds import Api, established
from localcluster import Cluster
from mutations import ENTRY, ITEM, Mutation, Path, fits, leaves, minimal, mutated, values
from resource_cases import blueprint, environment, tenant

pytestmark = pytest.mark.apiserver

Json = dict[str, Any]
SEEDS = {seed["kind"]: seed for seed in (environment(), tenant(), blueprint())}
BOUNDS = {
    "maxItems": "must have at most {} items",
    "minItems": "should have at least {} items",
    "maxLength": "may not be more than {} bytes",
    "minLength": "should be at least {} chars long",
    "maxProperties": "must have at most {} items",
    "maximum": "should be less than or equal to {}",
    "minimum": "should be greater than or equal to {}",
    "pattern": "should match '{}'",
    "enum": "Unsupported value",
}
"""What the API server says to a value that is beyond one."""


@dataclass(frozen=True)
class Bound:
    """A bound of a property."""

    kind: str
    path: Path
    name: str
    schema: Mapping[str, Any]

    @property
    def words(self) -> str:
        return BOUNDS[self.name].format(self.schema[self.name])

    def put(self, value: Any) -> Json:
        """The seed of the kind with this value."""
        seed = SEEDS[self.kind]
        return {**seed, "spec": mutated(seed["spec"], schemas()[self.kind], Mutation(self.kind, self.path, value))}

    def beyond(self) -> Any:
        """A value that is just beyond it, or does not match."""
        bound = self.schema[self.name]
        match self.name:
            case "maxItems":
                return items(self.schema, bound + 1)
            case "maxProperties":
                return entries(self.schema, bound + 1)
            case "maxLength":
                return "a" * (bound + 1)
            case "minItems":
                return items(self.schema, bound - 1)
            case "minLength":
                return "a" * (bound - 1)
            case "maximum":
                return bound + 1
            case "minimum":
                return bound - 1
            case "enum":
                return "Imagined"
        # A control character fits no pattern of ours, most do not even take braces.
        longest = self.schema.get("maxLength")
        return next(text[:longest] for text in ("{{ 7 * 7 }}", "\x1b[31m") if not fits(text[:longest], self.schema))


@cache
def schemas() -> dict[str, Json]:
    """The schema of each kind's specification."""
    found = {kind.name: definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for kind in KINDS}
    return {kind: schema["properties"]["spec"] for kind, schema in found.items()}


def bounds() -> Iterator[Bound]:
    for kind, schema in schemas().items():
        for path, leaf in leaves(schema):
            yield from (Bound(kind, path, name, leaf) for name in BOUNDS if name in leaf)


def items(schema: Mapping[str, Any], count: int) -> list[Any]:
    """So many items with a name of their own, where they have one."""
    return [distinct(schema["items"], number, schema.get("x-kubernetes-list-map-keys", ())) for number in range(count)]


def distinct(schema: Mapping[str, Any], number: int, keys: tuple[str, ...]) -> Any:
    if schema["type"] == "integer":
        return number + 1
    if schema["type"] == "string":
        candidates = (f"a{number}", f"A{number}", f"1.0.{number}", f"10.0.{number}.0/24")
        return next(text for text in candidates if fits(text, schema))
    item = minimal(schema)
    named = {key: schema["properties"][key] for key in keys if "enum" not in schema["properties"][key]}
    return item | {key: distinct(inner, number, ()) for key, inner in named.items()}


def entries(schema: Mapping[str, Any], count: int) -> Json:
    return {f"a{number}": minimal(schema.get("additionalProperties", {"type": "string"})) for number in range(count)}


@pytest.fixture(scope="module")
def api(control_plane: Cluster) -> Iterator[Api]:
    with closing(Api(control_plane.kubeconfig)) as api:
        established(api)
        yield api


@pytest.mark.parametrize("kind", SEEDS)
@pytest.mark.parametrize("name", BOUNDS)
def test_what_is_beyond_a_bound_is_refused_with_the_field_and_the_bound(api: Api, kind: str, name: str) -> None:
    missed = []
    for bound in bounds():
        if (bound.kind, bound.name) == (kind, name):
            answer = api.create(bound.put(bound.beyond()), dry=True)
            field = next(step for step in reversed(bound.path) if step not in {ITEM, ENTRY})
            if answer.status != 422 or bound.words not in answer.message or field not in answer.message:
                missed.append(f"{'.'.join(bound.path)}: {answer.status}, not {bound.words!r}: {answer.message[:300]}")
    assert not missed, "\n".join(missed)


@pytest.mark.parametrize("kind", SEEDS)
def test_what_is_within_the_bounds_is_not_refused_by_them(api: Api, kind: str) -> None:
    """A rule may refuse it still."""
    words = {text.split("{}")[0] for text in BOUNDS.values()}
    refused = []
    for path, leaf in leaves(schemas()[kind]):
        bound = Bound(kind, path, "", leaf)
        allowed = values(leaf, 3, Random(0))  # noqa: S311
        if leaf["type"] == "array":
            allowed = [items(leaf, leaf["maxItems"])] if "enum" not in leaf["items"] else [leaf["items"]["enum"]]
        elif leaf["type"] == "object" and "maxProperties" in leaf:
            allowed = [entries(leaf, leaf["maxProperties"])]
        for value in allowed:
            answer = api.create(deepcopy(bound.put(value)), dry=True)
            if any(text in answer.message for text in words):
                refused.append(f"{'.'.join(path)} = {str(value)[:40]!r}: {answer.message[:300]}")
    assert not refused, "\n".join(refused)


def test_there_are_bounds_of_every_name() -> None:
    assert {bound.name for bound in bounds()} == set(BOUNDS)
