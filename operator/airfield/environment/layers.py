"""Merging the layers that an environment is made of, remembering for every field which layer set it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

_UNIONS = frozenset({"database"})
"""Paths of objects of which exactly one member is set: naming another member replaces the one below."""
_BY_NAME = frozenset({"env"})
"""Paths of lists whose items are told apart by name: an upper layer replaces or adds single items."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One source of settings. `name` is what a person reads in `airfield explain`."""

    name: str
    settings: Mapping[str, Any]


@dataclass(slots=True)
class Merged:
    """The sum of the layers, and for each leaf (a dotted path) the name of the layer that it came from."""

    settings: Json = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)


def merge(layers: Iterable[Layer]) -> Merged:
    """Lay each layer over the ones before. Objects merge, everything else is replaced as a whole."""
    merged = Merged()
    for layer in layers:
        _lay(merged, merged.settings, layer.settings, "", layer.name)
    return merged


def _lay(merged: Merged, below: Json, above: Mapping[str, Any], path: str, layer: str) -> None:
    for key, value in above.items():
        here = f"{path}.{key}" if path else key
        if value is None:
            continue
        if isinstance(value, Mapping):
            inner = below.setdefault(key, {})
            if here in _UNIONS and (named := {member for member in value if value[member] is not None}):
                for other in inner.keys() - named:
                    del inner[other]
                    _forget(merged, f"{here}.{other}")
            _lay(merged, inner, value, here, layer)
            if inner:
                merged.origins.pop(here, None)  # no longer a leaf, if it was one
            else:
                merged.origins[here] = layer
        elif here in _BY_NAME:
            items = {item["name"]: item for item in below.get(key, [])}
            for item in value:
                items[item["name"]] = item
                merged.origins[f"{here}.{item['name']}"] = layer
            below[key] = list(items.values())
        else:
            below[key] = value
            merged.origins[here] = layer


def fill(merged: Merged, layer: Layer) -> None:
    """Take from a layer what none has set: of a union's member, say, that another one had replaced in between."""
    _fill(merged, merged.settings, layer.settings, "", layer.name)


def _fill(merged: Merged, above: Json, below: Mapping[str, Any], path: str, layer: str) -> None:
    for key, value in below.items():
        here = f"{path}.{key}" if path else key
        if isinstance(value, Mapping):
            merged.origins.pop(here, None)  # a leaf as long as it was empty
            _fill(merged, above.setdefault(key, {}), value, here, layer)
        elif key not in above:
            above[key] = value
            merged.origins[here] = layer


def _forget(merged: Merged, path: str) -> None:
    for known in [known for known in merged.origins if known == path or known.startswith(f"{path}.")]:
        del merged.origins[known]
