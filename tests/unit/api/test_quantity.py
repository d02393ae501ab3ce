"""Kubernetes quantities as numbers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airfield.api.quantity import amount, measured

SUFFIXES = ["", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("500m", "0.5"),
        ("1.5", "1.5"),
        ("0.1", "0.1"),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2Gi", 2 * 1024**3),
        ("2G", 2 * 1000**3),
        ("1.5Gi", 3 * 1024**3 // 2),
        ("1P", 1000**5),
        ("1Pi", 1024**5),
    ],
)
def test_amounts(text: str, number: str | int) -> None:
    assert amount(text) == Decimal(number)


@pytest.mark.parametrize(
    "text", ["", "Gi", "-1", "+1", "1e3", "1E", "1 Gi", "1gb", "1K", "1mi", ".5", "1.", "1\n", "\u0661", "NaN"]
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as"):
        amount(text)


@given(st.integers(0, 10**6), st.sampled_from(SUFFIXES), st.integers(0, 10**6))
def test_more_of_the_same_is_more(a: int, suffix: str, b: int) -> None:
    assert (amount(f"{a}{suffix}") < amount(f"{b}{suffix}")) is (a < b)


@given(st.integers(1, 10**6))
def test_units_agree(number: int) -> None:
    assert amount(f"{number}") == amount(f"{number * 1000}m")
    assert amount(f"{number}Mi") == amount(f"{number * 1024}Ki") < amount(f"{number * 1024}k") * 2


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("1234567n", "0.001234567"), ("500u", "0.0005"), ("1e3", 1000), ("2E", 2 * 10**18), ("1Ei", 2**60)],
)
def test_what_the_api_server_measures(text: str, number: str | int) -> None:
    assert measured(text) == Decimal(number)


@given(st.integers(0, 10**6), st.sampled_from(SUFFIXES))
def test_both_read_the_same(number: int, suffix: str) -> None:
    assert measured(f"{number}{suffix}") == amount(f"{number}{suffix}")


@pytest.mark.parametrize("text", ["", "-1", "1e", "e3", "1 Gi", "1Zi", "NaN"])
def test_what_no_api_server_writes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity that an API server writes"):
        measured(text)
