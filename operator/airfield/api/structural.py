"""From a model's JSON schema to a structural schema. Strict: what that cannot say is an error, never dropped.

Two things are left out on purpose: patterns of a map's keys, which a structural schema has no word for and whose cost
the API server could not bound in a rule (`resolve` checks them), and empty-list defaults, because an absent list means
the same. The length of a map's keys becomes a rule.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from airfield.api.base import VALIDATIONS

Json = dict[str, Any]


class SchemaError(ValueError):
    """A model says something that the API server would refuse or lose. The message starts with the field's path."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or '(root)'}: {problem}")


def structural(node: Mapping[str, Any], definitions: Mapping[str, Any], path: str = "") -> Json:
    """`node`, a JSON schema as pydantic makes it, as a structural schema; `path` is where it stands."""
    if path.count(".") > 24:
        raise SchemaError(path, "nested too deeply; a model that contains itself has no structural schema")
    flat = _flatten(dict(node), definitions, path)
    kind = flat.get("type")
    if kind not in _CONVERTERS:
        raise SchemaError(
            path, f"type {kind!r} is not supported: use string, integer, boolean, a list, a map or a model"
        )
    known, convert = _CONVERTERS[kind]
    surplus = sorted(flat.keys() - known - _EVERYWHERE)
    if surplus:
        raise SchemaError(path, f"a structural schema of type {kind} cannot express {', '.join(surplus)}")
    return convert(flat, definitions, path)


def _flatten(node: Json, definitions: Mapping[str, Any], path: str) -> Json:
    """Without references, nulls, titles and constants: what the place itself says goes before what it refers to."""
    node.pop("title", None)
    if node.get("default", ...) in (None, []):
        del node["default"]
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if "anyOf" in node:
        choices = [choice for choice in node.pop("anyOf") if choice.get("type") != "null"]
        if len(choices) != 1:
            raise SchemaError(
                path, "a union has no structural schema: use a model with one optional field for each case"
            )
        return _flatten(_over(choices[0], node), definitions, path)
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        return _flatten(_over(target, node), definitions, path)
    if "description" in node:
        node["description"] = prose(node["description"])
    return node


def _over(below: Json, above: Json) -> Json:
    """`above` laid over `below`; the rules of both count."""
    rules = [*below.get(VALIDATIONS, ()), *above.get(VALIDATIONS, ())]
    return {**below, **above, **({VALIDATIONS: rules} if rules else {})}


def prose(text: str) -> str:
    """Docstring lines as one line for each paragraph: `kubectl explain` breaks lines itself."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _string(node: Json, _: Mapping[str, Any], path: str) -> Json:
    if not node.keys() & {"maxLength", "enum", "format"}:
        raise SchemaError(path, "a string needs maxLength, an enum or a format")
    if node.get("format", "date-time") != "date-time":
        raise SchemaError(path, f"format {node['format']!r} is not one that the API server checks: use a pattern")
    return node


def _integer(node: Json, _: Mapping[str, Any], path: str) -> Json:
    if "exclusiveMinimum" in node:
        node["minimum"] = node.pop("exclusiveMinimum") + 1
    if "exclusiveMaximum" in node:
        node["maximum"] = node.pop("exclusiveMaximum") - 1
    if not {"minimum", "maximum"} <= node.keys():
        raise SchemaError(path, "an integer needs a lower and an upper bound")
    wide = max(abs(node["minimum"]), abs(node["maximum"])) >= 2**31
    return {**node, "format": "int64" if wide else "int32"}


def _boolean(node: Json, _: Mapping[str, Any], __: str) -> Json:
    return node


def _array(node: Json, definitions: Mapping[str, Any], path: str) -> Json:
    if "maxItems" not in node:
        raise SchemaError(path, "a list needs maxItems")
    if "items" not in node:
        raise SchemaError(path, "a list needs a type for its items")
    kind = node.get(_LIST_TYPE)
    if kind not in {"atomic", "set", "map"}:
        raise SchemaError(path, f"a list needs {_LIST_TYPE} atomic, set or map: how do two appliers share it?")
    items = structural(node["items"], definitions, f"{path}[]")
    if kind == "set" and items["type"] in {"object", "array"}:
        raise SchemaError(path, "the items of a set are scalars")
    for key in node.get(_LIST_KEYS, ()) if kind == "map" else ():
        if key not in items.get("required", ()) and "default" not in items.get("properties", {}).get(key, {}):
            raise SchemaError(f"{path}[].{key}", "a key of a list-map must be required or have a default")
    return {**node, "items": items}


def _object(node: Json, definitions: Mapping[str, Any], path: str) -> Json:
    values = node.pop("additionalProperties", None)
    keys = node.pop("propertyNames", {})
    if "patternProperties" in node:  # a map with a pattern for its keys
        (values,) = node.pop("patternProperties").values()
    if "properties" not in node:
        if not isinstance(values, Mapping):
            raise SchemaError(path, "an object needs properties (a model) or a type for its values (a map)")
        if "maxProperties" not in node:
            raise SchemaError(path, "a map needs maxProperties")
        if "maxLength" not in keys:
            raise SchemaError(path, "the keys of a map need maxLength")
        rules = [*node.get(VALIDATIONS, ()), short_keys(keys["maxLength"])]
        return {**node, VALIDATIONS: rules, "additionalProperties": structural(values, definitions, f"{path}[*]")}
    if values is not False:
        raise SchemaError(path, "a model must forbid extra fields: the API server drops them")
    properties = {
        name: structural(field, definitions, f"{path}.{name}" if path else name)
        for name, field in node["properties"].items()
    }
    for name, field in properties.items():
        if "description" not in field:
            raise SchemaError(f"{path}.{name}", "a field needs a description: `kubectl explain` shows it")
    return {**node, "properties": properties}


def short_keys(longest: int) -> Json:
    """The rule of a map whose keys have at most so many characters."""
    rule = f"self.all(key, size(key) <= {longest})"
    return {"rule": rule, "message": f"a key has at most {longest} characters"}


_LIST_TYPE: Final = "x-kubernetes-list-type"
_LIST_KEYS: Final = "x-kubernetes-list-map-keys"
_EVERYWHERE: Final = frozenset({"type", "description", "default", "enum", VALIDATIONS})
_CONVERTERS: Final[Mapping[Any, tuple[frozenset[str], Callable[[Json, Mapping[str, Any], str], Json]]]] = {
    "string": (frozenset({"minLength", "maxLength", "pattern", "format"}), _string),
    "integer": (frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}), _integer),
    "boolean": (frozenset(), _boolean),
    "array": (frozenset({"items", "minItems", "maxItems", _LIST_TYPE, _LIST_KEYS}), _array),
    "object": (
        frozenset(
            {
                "properties",
                "required",
                "additionalProperties",
                "patternProperties",
                "propertyNames",
                "minProperties",
                "maxProperties",
            }
        ),
        _object,
    ),
}
