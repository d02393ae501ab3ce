"""Kubernetes quantities as numbers, to compare them."""

import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTP", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTP", start=1)},
}
_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|[kMGTP]|[KMGTP]i)?$")


def amount(quantity: str) -> Decimal:
    """`"500m"` → 0.5, `"2Gi"` → 2147483648. ValueError for anything that is not a positive plain quantity."""
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity such as 500m, 1.5 or 2Gi")
    number, suffix = match.groups()
    return Decimal(number) * _SUFFIXES[suffix or ""]
