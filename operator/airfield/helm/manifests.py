"""From rendered YAML to plain objects, as Kubernetes reads it rather than as YAML 1.1 has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_NODES = 500_000
"""Values in a rendered chart; what aliases repeat is counted each time. The official chart has 5,000."""
MAX_DEPTH = 100
"""Lists and objects within each other. libyaml's loader recurses on the C stack: 50,000 of them end the process."""

HOOK = "helm.sh/hook"


class HelmError(Exception):
    """A chart could not be rendered; the message is for the person who wrote the chart or the values."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML without what Kubernetes does not have: dates, base-60 numbers (22:22 is a string) and `=`."""


_FOREIGN = {
    "tag:yaml.org,2002:timestamp",
    "tag:yaml.org,2002:value",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _FOREIGN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(0b[01_]+|0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)


def documents(text: bytes | str) -> list[Any]:
    """The documents of a YAML stream, as Kubernetes reads them; empty ones are left out.

    Raises:
        ValueError: bad YAML, or too much; the message is what the stream is made of, to go on after "contains".
    """
    try:
        _check_depth(text)
        found = [document for document in yaml.load_all(text, _Loader) if document]
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"YAML that cannot be read: {error}") from error
    if sum(1 for _, _ in zip(_nodes(found), range(MAX_NODES + 1), strict=False)) > MAX_NODES:
        raise ValueError(f"more than {MAX_NODES} values")
    return found


def _check_depth(text: bytes | str) -> None:
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"more than {MAX_DEPTH} levels of nesting")


def parse(output: bytes) -> list[dict[str, Any]]:
    """The objects in the output of `helm template`, empty documents left out.

    Raises:
        HelmError: bad YAML, something that is not an object, a hook, the same object twice, or too much.
    """
    try:
        found = documents(output)
    except ValueError as error:
        raise HelmError(f"the chart renders to {error}") from error
    seen: set[tuple[str, ...]] = set()
    for document in found:
        name = _name(document)
        annotations = document["metadata"].get("annotations") or {}
        if HOOK in annotations:
            raise HelmError(
                f"{name[1]} {name[3]} is a Helm hook ({HOOK}: {annotations[HOOK]}), which Airfield does not run; "
                "turn the hook off in the chart's values, or label the object with its airfield.dev/phase instead"
            )
        if name in seen:
            raise HelmError(f"the chart renders {name[1]} {name[3]} twice")
        seen.add(name)
    return found


def _name(document: Any) -> tuple[str, ...]:
    """apiVersion, kind, namespace and name."""
    if isinstance(document, dict) and isinstance(document.get("metadata"), dict):
        metadata = document["metadata"]
        parts = (document.get("apiVersion"), document.get("kind"), metadata.get("namespace", ""), metadata.get("name"))
        name = tuple(part for part in parts if isinstance(part, str))
        if len(name) == len(parts):
            return name
    raise HelmError(f"the chart renders something that has no apiVersion, kind or metadata.name: {str(document)[:200]}")


def _nodes(document: Any) -> Iterator[None]:
    """One item per value, following aliases wherever they occur."""
    stack = [document]
    while stack:
        node = stack.pop()
        yield None
        if isinstance(node, dict):
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
