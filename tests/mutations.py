"""Specifications in which one property has another value, walked from the CRDs' schemas. Pure."""

import random
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Path = tuple[str, ...]
ITEM, ENTRY = "[]", "{}"
"""Steps of a path: into the item of a list, into the value of a map."""

PLAIN = (
    "a",
    "x-y",
    "A_B",
    "1",
    "100m",
    "1Gi",
    "3.3.2",
    "main",
    "EUR",
    "/dags",
    "https://host/r.git",
    "b.c",
    "z" * 40,
    *("10.1.0.0/16", "0.0.0.0/0", "2001:db8::/32"),
    *("https://login.example.com/realms/a", "a:{namespace}/{name}", "openid"),
    "-----BEGIN CERTIFICATE-----",
    "{name}.example.com",
)
LONG = ("a" * 63, "a" * 253, "b" * 1024, "c" * 4096)
HOSTILE = (
    *("", " ", "\t", "\\", '"', "'", "%s%d", "-1", "null", "~", "true", "@x", "#", "=", "é", "💥", "../../etc/passwd"),
    *("{{ 7 * 7 }}", "{% raw %}", "{{ .Values }}", "${HOME}", "$(id)", "`id`", "; rm -rf x", "'; DROP TABLE job; --"),
    *("a: b\n- c", "|\n x", "&a *a", "!!python/object:x", "--option", "<script>", "a\nb", "[core]\nx = 1"),
)
_RE2 = re.compile(r"\\x\{([0-9a-f]{4})\}")


@dataclass(frozen=True)
class Mutation:
    """A value for a property."""

    kind: str
    path: Path
    value: Any

    def __str__(self) -> str:
        return f"{self.kind}.spec.{'.'.join(self.path)} = {str(self.value)[:60]!r}"


def leaves(schema: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Every property that has a value of its own, lists and maps among them."""
    if "properties" in schema:
        for name, inner in schema["properties"].items():
            yield from leaves(inner, (*path, name))
        return
    yield path, schema
    if schema["type"] == "array":
        yield from leaves(schema["items"], (*path, ITEM))
    elif isinstance(schema.get("additionalProperties"), Mapping):
        yield from leaves(schema["additionalProperties"], (*path, ENTRY))


def values(schema: Mapping[str, Any], most: int, choose: random.Random) -> list[Any]:
    """Some values that the schema allows: all of a few, the least and the greatest, strings that look like code."""
    if "enum" in schema:
        return list(schema["enum"])
    match schema["type"]:
        case "boolean":
            return [False, True]
        case "integer":
            return [schema["minimum"], schema["maximum"]]
        case "array":
            return [[]]
        case "object":
            return [{}, {choose.choice(HOSTILE): minimal(schema.get("additionalProperties", {"type": "string"}))}]
    allowed = {text for text in (*PLAIN, *LONG, *HOSTILE) if fits(text, schema)}
    if not allowed:
        return []
    least, greatest = min(allowed, key=len), max(allowed, key=len)
    others = sorted(allowed - {least, greatest})
    return [least, greatest, *choose.sample(others, min(max(0, most - 2), len(others)))]


def fits(text: str, schema: Mapping[str, Any]) -> bool:
    """Whether a string is as long as the schema wants, and matches its pattern."""
    pattern = _RE2.sub(r"\\u\1", schema.get("pattern", ""))
    return schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 1 << 20) and bool(
        re.search(pattern, text)
    )


def minimal(schema: Mapping[str, Any]) -> Any:
    """The least that the schema allows."""
    match schema["type"]:
        case "object":
            return {name: minimal(schema["properties"][name]) for name in schema.get("required", ())}
        case "array":
            return [minimal(schema["items"])] * schema.get("minItems", 0)
        case "boolean":
            return False
        case "integer":
            return schema["minimum"]
    found = values(schema, 2, random.Random(0))  # noqa: S311
    return next((value for value in found if len(value) > 1), "x")


def mutated(seed: Json, schema: Mapping[str, Any], mutation: Mutation) -> Json:
    """The seed with the property changed, and with the least around it that the schema demands."""
    result: Json = _put(deepcopy(seed), schema, mutation.path, mutation.value)
    return result


def _put(base: Any, schema: Mapping[str, Any], path: Path, value: Any) -> Any:
    if not path:
        return value
    step, rest = path[0], path[1:]
    if step == ITEM:
        items = schema["items"]
        return [_put(base[0] if base else minimal(items), items, rest, value), *(base or [])[1:]]
    if step == ENTRY:
        return {**(base or {}), "key": _put((base or {}).get("key"), schema["additionalProperties"], rest, value)}
    inner = schema["properties"][step]
    whole = minimal(schema) if base is None else base
    return {**whole, step: _put(whole.get(step), inner, rest, value)}
