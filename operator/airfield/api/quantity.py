"""Kubernetes quantities as numbers, to compare and to add them."""

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


_FINE = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), **_SUFFIXES, "E": Decimal(1000) ** 6, "Ei": Decimal(1024) ** 6}
_MEASURED = re.compile(r"^([0-9]+(?:\.[0-9]+)?)([numkMGTPE]|[KMGTPE]i|[eE][0-9]{1,2})?$")


def measured(quantity: str) -> Decimal:
    """Any quantity that is not negative, as the API server writes it: `"1234567n"` of a core. ValueError for others."""
    match = _MEASURED.fullmatch(quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is not a quantity that an API server writes")
    number, suffix = match.groups()
    if suffix and suffix[1:].isdecimal():
        return Decimal(number) * Decimal(10) ** int(suffix[1:])
    return Decimal(number) * _FINE[suffix or ""]
