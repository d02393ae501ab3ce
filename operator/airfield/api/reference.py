"""From the CustomResourceDefinitions to docs/reference.md: every field, its bounds, and the rules in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from airfield.api import meta
from airfield.api.base import DNS_LABEL, DNS_SUBDOMAIN, QUANTITY, TEXT, VALIDATIONS

Json = Mapping[str, Any]

_INTRODUCTION: Final = f"""# Resource reference

<!-- Generated from the resources' models by `make generate`; do not edit. -->

API group `{meta.GROUP}`, version `{meta.VERSION}`. `[]` marks the items of a list, `[*]` the values of a map.
`kubectl explain` shows the same descriptions.
"""
_PATTERNS: Final = {
    DNS_LABEL: "DNS label",
    DNS_SUBDOMAIN: "DNS subdomain",
    QUANTITY: "quantity",
    TEXT: "no control characters",
}


def reference(definitions: Sequence[Json]) -> str:
    """The reference of all resources as Markdown."""
    shown: dict[str, str] = {}
    return "\n".join([_INTRODUCTION, *(_chapter(definition, shown) for definition in definitions)])


def _chapter(definition: Json, shown: dict[str, str]) -> str:
    spec = definition["spec"]
    kind, version = spec["names"]["kind"], spec["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    columns = ", ".join(
        column["name"] + (" (wide)" if column.get("priority") else "") for column in version["additionalPrinterColumns"]
    )
    lines = [f"## {kind}", "", schema["description"], ""]
    lines += [f"Scope: {spec['scope']}. Short name `{spec['names']['shortNames'][0]}`. Columns: {columns}.", ""]
    for part in ("spec", "status"):
        lines += [
            f"### {kind} {part}",
            "",
            "| Field | Type | Default | Bounds | Description |",
            "|---|---|---|---|---|",
        ]
        lines += [*_rows(schema["properties"][part], kind, part, shown), ""]
    rules: dict[str, list[str]] = {}
    for path, message in _rules(schema, ""):
        rules.setdefault(message, []).append(f"`{path}`" if path else f"every {kind}")
    if rules:
        lines += [f"### {kind} rules", ""]
        lines += [f"- {', '.join(paths)}: {message}" for message, paths in rules.items()]
        lines.append("")
    return "\n".join(lines)


def _rows(node: Json, kind: str, path: str, shown: dict[str, str]) -> Iterator[str]:
    """A row for each field below `node`, parents first. Fields that were shown elsewhere are referred to."""
    required = node.get("required", ())
    for name, field in node["properties"].items():
        here = f"{path}.{name}"
        inner, below = _innermost(field, here)
        description, elsewhere = field["description"], None
        if "properties" in inner:
            identity = json.dumps([inner["properties"], inner.get("required")], sort_keys=True)
            elsewhere = shown.get(identity)
            shown.setdefault(identity, f"{kind} `{below}`")
            if elsewhere:
                description += f" Fields as in {elsewhere}."
        yield _row(here, field, description, required=name in required)
        if "properties" in inner and not elsewhere:
            yield from _rows(inner, kind, below, shown)


def _innermost(node: Json, path: str) -> tuple[Json, str]:
    """Through lists and maps to what they hold in the end."""
    if "items" in node:
        return _innermost(node["items"], f"{path}[]")
    if "additionalProperties" in node:
        return _innermost(node["additionalProperties"], f"{path}[*]")
    return node, path


def _row(path: str, node: Json, description: str, *, required: bool) -> str:
    default = "required" if required else f"`{json.dumps(node['default'])}`" if "default" in node else ""
    cells = (f"`{path.split('.', 1)[1]}`", _type(node), default, _bounds(node), description)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _type(node: Json) -> str:
    if "items" in node:
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if "enum" in node:
        return "enum"
    return str(node.get("format", "string") if node["type"] == "string" else node["type"])


def _bounds(node: Json) -> str:
    """The bounds of a field and, after a semicolon each, of what it holds."""
    parts = [", ".join(f"`{value}`" for value in node.get("enum", ()))]
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " entries"),
    ):
        if high in node:
            least = node.get(low)
            parts.append(f"{'at most' if least is None else f'{least} to'} {node[high]}{unit}")
    if "x-kubernetes-list-map-keys" in node:
        parts.append(f"unique by {', '.join(node['x-kubernetes-list-map-keys'])}")
    if node.get("x-kubernetes-list-type") == "set":
        parts.append("no duplicates")
    if "pattern" in node:
        parts.append(_PATTERNS.get(node["pattern"], f"`{node['pattern']}`"))
    inner = node.get("items") or node.get("additionalProperties") or {}
    below = _bounds(inner) if inner and "properties" not in inner else ""
    return "; ".join(filter(None, (", ".join(filter(None, parts)), below)))


def _rules(node: Json, path: str) -> Iterator[tuple[str, str]]:
    """(path, message) of every CEL rule in `node`."""
    for rule in node.get(VALIDATIONS, ()):
        yield path, rule["message"]
    for name, field in node.get("properties", {}).items():
        yield from _rules(field, f"{path}.{name}" if path else name)
    for inner, mark in ((node.get("items"), "[]"), (node.get("additionalProperties"), "[*]")):
        if inner:
            yield from _rules(inner, path + mark)
