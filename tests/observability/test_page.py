"""docs/metrics.md."""

from metricsdocs.__main__ import FILE
from metricsdocs.page import families, filled, page


def test_page_is_up_to_date() -> None:
    assert FILE.read_text() == page()


def test_names_follow_the_conventions_of_prometheus() -> None:
    """A counter ends in _total, a time is in seconds, and nothing else claims to be either."""
    for family in families(filled()):
        assert family.name.startswith(("airfield_", "process_"))
        assert family.name.endswith("_total") == (family.kind == "counter"), family
        assert bool({"duration", "age", "interval"} & set(family.name.split("_"))) <= family.name.endswith(
            "_seconds"
        ), family
        assert family.about, family
