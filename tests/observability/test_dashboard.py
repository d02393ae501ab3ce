"""The dashboard is of metrics and labels that exist. tests/apiserver has a Prometheus answer its queries."""

import re

from metricsdocs.page import families, filled
from observability.rendered import NAME, dashboard, expressions, metric_names


def test_queries_speak_of_metrics_that_exist() -> None:
    used = {name for expression in expressions(dashboard()).values() for name in NAME.findall(expression)}
    assert used <= metric_names()


def test_what_the_operator_tells_is_shown() -> None:
    used = {name for expression in expressions(dashboard()).values() for name in NAME.findall(expression)}
    unseen = {family.name for family in families(filled()) if not family.series & used}
    assert {name for name in unseen if name.startswith("airfield_")} == set()


def test_queries_ask_for_labels_that_exist() -> None:
    labels = {label for family in families(filled()) for label in family.labels}
    labels |= {"le", "instance", "job", "pod"}
    for expression in expressions(dashboard()).values():
        for names in re.findall(r"\b(?:by|without|on|group_left) \(([^)]*)\)", expression):
            assert {name.strip() for name in names.split(",") if name.strip()} <= labels, expression
        assert set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression)) <= labels, expression


def test_panels() -> None:
    board = dashboard()
    panels = board["panels"]
    assert board["uid"] == "airfield"
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        where = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(where["x"], where["x"] + where["w"])
            for y in range(where["y"], where["y"] + where["h"])
        }
        assert where["x"] + where["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies on another one"
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert variables == {"datasource", "tenant"}
