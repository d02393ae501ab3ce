"""The converter: what it makes of each construct, and that it refuses what the API server would refuse or lose."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field, StringConstraints, create_model

from airfield.api.base import LIST_ATOMIC, LIST_SET, VALIDATIONS, Model, Rule, list_map
from airfield.api.crd import KINDS, definition
from airfield.api.generate import difference, generated
from airfield.api.reference import reference
from airfield.api.structural import SchemaError, short_keys, structural
from resource_cases import MODELS

REPOSITORY = Path(__file__).parents[3]

Short = Annotated[str, StringConstraints(max_length=8)]


class Colour(StrEnum):
    """A colour."""

    RED = "red"
    BLUE = "blue"


class Point(Model):
    """A point of
    two lines.

    And two paragraphs.
    """

    RULES = (Rule("self.x != self.y", "x and y differ"),)

    x: Annotated[int, Field(ge=0, le=9)] = Field(description="Across.")
    y: Annotated[int, Field(gt=0, lt=9)] = Field(default=1, description="Up.")


class Tree(Model):
    """A model that contains itself."""

    children: Annotated[tuple["Tree", ...], Field(max_length=2), LIST_ATOMIC] = Field(description="More.")


class Open(BaseModel):
    """A model that lets extra fields pass."""

    x: Short = Field(description="X.")


class Undescribed(Model):
    """A model with a field that nobody explains."""

    x: Short


POINT: dict[str, Any] = {
    "type": "object",
    "description": "A point of two lines.\n\nAnd two paragraphs.",
    "required": ["x"],
    "properties": {
        "x": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 9, "description": "Across."},
        "y": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 8, "description": "Up.", "default": 1},
    },
    VALIDATIONS: [{"rule": "self.x != self.y", "message": "x and y differ"}],
}


def convert(annotation: Any, **field: Any) -> dict[str, Any]:
    """The structural schema of a field `f` of a model."""
    model = create_model("M", __base__=Model, __doc__="A model.", f=(annotation, Field(description="F.", **field)))
    field_schema = fields(model)["f"]
    assert field_schema.pop("description") == "F."
    return field_schema


def fields(model: type[Model]) -> dict[str, dict[str, Any]]:
    """The structural schema of each field of `model`."""
    schema = model.model_json_schema(by_alias=True)
    properties = structural(schema, schema.pop("$defs", {}))["properties"]
    assert isinstance(properties, dict)
    return properties


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        pytest.param(Short, {"type": "string", "maxLength": 8}, id="string"),
        pytest.param(
            Annotated[str, StringConstraints(min_length=1, max_length=8, pattern="^a")],
            {"type": "string", "minLength": 1, "maxLength": 8, "pattern": "^a"},
            id="pattern",
        ),
        pytest.param(
            Annotated[str, Field(json_schema_extra={"format": "date-time"})],
            {"type": "string", "format": "date-time"},
            id="format",
        ),
        pytest.param(Literal["a"], {"type": "string", "enum": ["a"]}, id="constant"),
        pytest.param(Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}, id="literal"),
        pytest.param(Colour, {"type": "string", "enum": ["red", "blue"]}, id="enum"),
        pytest.param(bool, {"type": "boolean"}, id="boolean"),
        pytest.param(
            Annotated[int, Field(gt=-1, lt=2**40)],
            {"type": "integer", "format": "int64", "minimum": 0, "maximum": 2**40 - 1},
            id="exclusive bounds",
        ),
        pytest.param(Point, {key: value for key, value in POINT.items() if key != "description"}, id="model"),
        pytest.param(
            Annotated[tuple[Short, ...], Field(min_length=1, max_length=2), LIST_SET],
            {
                "type": "array",
                "minItems": 1,
                "maxItems": 2,
                "x-kubernetes-list-type": "set",
                "items": {"type": "string", "maxLength": 8},
            },
            id="set",
        ),
        pytest.param(
            Annotated[tuple[Point, ...], Field(max_length=2), list_map("x", "y")],
            {
                "type": "array",
                "maxItems": 2,
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["x", "y"],
                "items": POINT,
            },
            id="list-map, keyed by a required field and one with a default",
        ),
        pytest.param(
            Annotated[dict[Short, Annotated[Short, Rule("self != 'x'", "no x")]], Field(max_length=3)],
            {
                "type": "object",
                "maxProperties": 3,
                "additionalProperties": {
                    "type": "string",
                    "maxLength": 8,
                    VALIDATIONS: [{"rule": "self != 'x'", "message": "no x"}],
                },
                VALIDATIONS: [short_keys(8)],
            },
            id="map with a rule for its values",
        ),
        pytest.param(
            Annotated[
                dict[Annotated[str, StringConstraints(pattern="^a", max_length=5)], Short],
                Field(max_length=3),
                Rule("!('ab' in self)", "no ab"),
            ],
            {
                "type": "object",
                "maxProperties": 3,
                "additionalProperties": {"type": "string", "maxLength": 8},
                VALIDATIONS: [{"rule": "!('ab' in self)", "message": "no ab"}, short_keys(5)],
            },
            id="map with a pattern for its keys",
        ),
        pytest.param(
            Annotated[Short, Rule("self != 'x'", "no x"), Rule("self != 'y'", "no y")],
            {
                "type": "string",
                "maxLength": 8,
                VALIDATIONS: [{"rule": "self != 'x'", "message": "no x"}, {"rule": "self != 'y'", "message": "no y"}],
            },
            id="two rules",
        ),
    ],
)
def test_converted(annotation: Any, schema: dict[str, Any]) -> None:
    assert convert(annotation) == schema
    assert convert(annotation | None, default=None) == schema, "null means absent"


def test_defaults() -> None:
    assert convert(Colour, default=Colour.RED)["default"] == "red"
    assert convert(Annotated[int, Field(ge=0, le=1)], default=0)["default"] == 0
    assert convert(bool, default=False)["default"] is False
    assert "default" not in convert(Annotated[tuple[Short, ...], Field(max_length=1), LIST_ATOMIC], default=())


def test_the_rules_of_a_field_and_of_its_model_add_up() -> None:
    rules = convert(Annotated[Point, Rule("self.x < 5", "x is small")])[VALIDATIONS]

    assert [rule["message"] for rule in rules] == ["x and y differ", "x is small"]


def test_a_field_s_description_goes_before_its_model_s() -> None:
    model = create_model(
        "M", __base__=Model, __doc__="A model.", f=(Point | None, None), g=(Point, Field(description="G."))
    )
    properties = fields(model)

    assert properties["f"]["description"].startswith("A point of two lines.")
    assert properties["g"]["description"] == "G."


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        pytest.param(str, "f: a string needs maxLength", id="string"),
        pytest.param(
            Annotated[str, Field(json_schema_extra={"format": "password"})], "f: format 'password'", id="unknown format"
        ),
        pytest.param(int, "f: an integer needs a lower and an upper bound", id="integer"),
        pytest.param(Annotated[int, Field(ge=0)], "f: an integer needs a lower and an upper bound", id="half-bounded"),
        pytest.param(
            Annotated[int, Field(ge=0, le=9, multiple_of=3)], "f: .* cannot express multipleOf", id="multiple"
        ),
        pytest.param(float, "f: type 'number' is not supported", id="float"),
        pytest.param(Any, "f: type None is not supported", id="anything"),
        pytest.param(tuple[Short, ...], "f: a list needs maxItems", id="list"),
        pytest.param(Annotated[tuple[Short, ...], Field(max_length=1)], "f: a list needs x-kuber", id="list type"),
        pytest.param(Annotated[tuple[str, ...], Field(max_length=1), LIST_ATOMIC], r"f\[\]: a string needs", id="item"),
        pytest.param(tuple[Short, Short], "f: .* cannot express prefixItems", id="tuple"),
        pytest.param(frozenset[Short], "f: .* cannot express uniqueItems", id="frozenset"),
        pytest.param(
            Annotated[tuple[Point, ...], Field(max_length=1), LIST_SET], "f: the items of a set are scalars", id="set"
        ),
        pytest.param(
            Annotated[tuple[Point, ...], Field(max_length=1), list_map("z")],
            r"f\[\]\.z: a key of a list-map must be required",
            id="key of a list-map",
        ),
        pytest.param(dict[Short, Short], "f: a map needs maxProperties", id="map"),
        pytest.param(
            Annotated[dict[str, Short], Field(max_length=1)], "f: the keys of a map need maxLength", id="map's key"
        ),
        pytest.param(Annotated[dict[Short, str], Field(max_length=1)], r"f\[\*\]: a string needs", id="map's value"),
        pytest.param(Annotated[dict[Short, Any], Field(max_length=1)], "f: an object needs|type None", id="map of any"),
        pytest.param(dict, "f: an object needs properties", id="object"),
        pytest.param(Short | bool, "f: a union has no structural schema", id="union"),
        pytest.param(Point | Colour, "f: a union has no structural schema", id="union of references"),
        pytest.param(Tree, "nested too deeply", id="recursion"),
        pytest.param(Open, "f: a model must forbid extra fields", id="open model"),
        pytest.param(Undescribed, "f.x: a field needs a description", id="no description"),
        pytest.param(
            Annotated[Short, Field(json_schema_extra={"x-unknown": 1})], "f: .* cannot express x-unknown", id="keyword"
        ),
        pytest.param(Annotated[Short, Field(examples=["a"])], "f: .* cannot express examples", id="examples"),
    ],
)
def test_refused(annotation: Any, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        convert(annotation)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_definition(kind: Any) -> None:
    spec = definition(kind)["spec"]
    (version,) = spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]

    assert spec["names"]["categories"] == ["airfield"]
    assert version["subresources"] == {"status": {}}
    assert [column["name"] for column in version["additionalPrinterColumns"][:2]] == ["Ready", "Status"]
    assert schema["properties"]["metadata"] == {"type": "object"}
    assert schema["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert "$ref" not in str(schema)


def test_generated_files_are_up_to_date() -> None:
    assert difference(REPOSITORY, generated()) == ""


def test_a_difference_is_shown(tmp_path: Path) -> None:
    assert difference(tmp_path, {Path("a"): "x\n"}).endswith("+x\n")


def test_the_reference_has_every_field_and_rule() -> None:
    definitions = [definition(kind) for kind in KINDS]
    text = reference(definitions)

    for field in ("`dags.bundles[].git.ref`", "`observedGeneration`", "`databaseServers[].adminSecret.name`"):
        assert f"| {field} |" in text
    assert "- `spec.database`: database is exactly one of embedded, server and external" in text
    assert all(line.replace(r"\|", "").count("|") == 6 for line in text.splitlines() if line.startswith("| `"))


@pytest.mark.parametrize("file", sorted((REPOSITORY / "examples").rglob("*.yaml")), ids=lambda file: file.name)
def test_examples_are_valid(file: Path) -> None:
    for manifest in yaml.safe_load_all(file.read_text()):
        if manifest["apiVersion"].startswith("airfield.dev/"):
            assert MODELS[manifest["kind"]].model_validate(manifest).to_json() == manifest
