"""Merging layers: tables of what wins, and what holds for layers of any shape."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.environment.layers import Layer, Merged, merge

Json = dict[str, Any]


def merged(*layers: Json) -> Merged:
    return merge(Layer(f"layer {number}", layer) for number, layer in enumerate(layers))


@pytest.mark.parametrize(
    ("below", "above", "result"),
    [
        ({"version": "a"}, {}, {"version": "a"}),
        ({"version": "a"}, {"version": "b"}, {"version": "b"}),
        ({"version": "a"}, {"version": None}, {"version": "a"}),
        (
            {"config": {"core": {"a": "1"}}},
            {"config": {"core": {"b": "2"}}},
            {"config": {"core": {"a": "1", "b": "2"}}},
        ),
        ({"a": ["1", "2"]}, {"a": ["3"]}, {"a": ["3"]}),
        ({"database": {"embedded": {"size": "1Gi"}}}, {"database": {"server": {}}}, {"database": {"server": {}}}),
        (
            {"database": {"embedded": {"size": "1Gi"}}},
            {"database": {"server": {"name": "a"}, "embedded": None}},
            {"database": {"server": {"name": "a"}}},
        ),
        (
            {"database": {"embedded": {"size": "1Gi"}}},
            {"database": {"embedded": {"storageClassName": "a"}}},
            {"database": {"embedded": {"size": "1Gi", "storageClassName": "a"}}},
        ),
        ({"database": {"embedded": {}}}, {"database": {}}, {"database": {"embedded": {}}}),
        # A section, an option or a label that happens to be called like a field that merges in its own way.
        (
            {"config": {"database": {"a": "1"}}},
            {"config": {"database": {"b": "2"}}},
            {"config": {"database": {"a": "1", "b": "2"}}},
        ),
        (
            {"components": {"workers": {"nodeSelector": {"env": "a", "database": "b"}}}},
            {"components": {"workers": {"nodeSelector": {"env": "c"}}}},
            {"components": {"workers": {"nodeSelector": {"env": "c", "database": "b"}}}},
        ),
        (
            {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]},
            {"env": [{"name": "B", "secretKeyRef": {"name": "s", "key": "k"}}, {"name": "C", "value": "2"}]},
            {
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "secretKeyRef": {"name": "s", "key": "k"}},
                    {"name": "C", "value": "2"},
                ]
            },
        ),
    ],
)
def test_two_layers(below: Json, above: Json, result: Json) -> None:
    assert merged(below, above).settings == result


def test_origins_name_the_layer_of_every_leaf() -> None:
    found = merge(
        [
            Layer("class", {"version": "a", "database": {"embedded": {"size": "1Gi"}}, "env": [{"name": "A"}]}),
            Layer("stage", {"database": {"server": {}}, "config": {"core": {"x": "1"}}}),
            Layer("environment", {"config": {"core": {"y": "2"}}, "env": [{"name": "A"}, {"name": "B"}]}),
        ]
    )
    assert found.origins == {
        "version": "class",
        "database.server": "stage",
        "config.core.x": "stage",
        "config.core.y": "environment",
        "env.A": "environment",
        "env.B": "environment",
    }


def test_an_object_that_is_filled_later_is_no_leaf_any_more() -> None:
    found = merged({"database": {"server": {}}}, {"database": {"server": {"name": "a"}}}, {"database": {"server": {}}})
    assert found.settings == {"database": {"server": {"name": "a"}}}
    assert found.origins == {"database.server.name": "layer 1"}


NAMES = st.sampled_from(["a", "b", "c", "env", "database", "embedded", "server"])
OBJECTS = st.recursive(
    st.dictionaries(NAMES, st.integers() | st.none(), max_size=3),
    lambda inner: st.dictionaries(NAMES, st.integers() | inner, max_size=3),
    max_leaves=8,
)
ENV = st.lists(st.sampled_from("ABC"), unique=True, min_size=1, max_size=3).flatmap(
    lambda names: st.tuples(*(st.fixed_dictionaries({"name": st.just(n), "value": st.integers()}) for n in names))
)
MEMBERS = st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=2)
LAYERS = st.fixed_dictionaries(
    {},
    optional={
        # The shape of settings: a field is an object in every layer or in none.
        "version": st.integers() | st.none(),
        "config": st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers(), max_size=3), max_size=3),
        "database": st.one_of(*(st.fixed_dictionaries({m: MEMBERS}) for m in ("embedded", "server", "external"))),
        "env": ENV.map(list),
    },
)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if path == "env":
        yield from (f"env.{item['name']}" for item in value)
    elif isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif path:
        yield path


@given(st.lists(LAYERS, max_size=4))
def test_origins_have_exactly_the_leaves(layers: list[Json]) -> None:
    found = merged(*layers)
    assert sorted(found.origins) == sorted(leaves(found.settings))


@given(st.lists(LAYERS, max_size=4))
def test_layers_stay_as_they_were_and_merging_again_gives_the_same(layers: list[Json]) -> None:
    before = copy.deepcopy(layers)
    assert merged(*layers) == merged(*layers)
    assert layers == before


@given(LAYERS, LAYERS, LAYERS)
def test_the_sum_of_the_lower_two_can_be_taken_first(a: Json, b: Json, c: Json) -> None:
    assert merged(merged(a, b).settings, c).settings == merged(a, b, c).settings


@given(LAYERS, OBJECTS.filter(lambda o: "env" not in o))
def test_a_layer_over_nothing_or_under_nothing_is_itself(layer: Json, anything: Json) -> None:
    alone = merged(layer).settings
    assert merged({}, layer).settings == merged(layer, {}).settings == alone
    assert merged(layer, layer).settings == alone
    merged(anything)  # no shape of names makes it fail


@given(LAYERS, LAYERS)
def test_what_the_upper_layer_says_holds(below: Json, above: Json) -> None:
    found = merged(below, above)
    for path in leaves(merged(above).settings):
        if not path.startswith("env."):
            node: Any = found.settings
            wanted: Any = above
            for part in path.split("."):
                node, wanted = node[part], wanted[part]
            assert wanted in (node, {})
    if above.get("database"):
        assert set(found.settings["database"]) == set(above["database"])
