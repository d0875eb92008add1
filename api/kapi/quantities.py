"""Quantities: `100m`, `1.5Gi`, `2e3`. Pure. Format: k8s.io/apimachinery/pkg/api/resource."""

from __future__ import annotations

import re
from decimal import Decimal

_FORM = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))([eE][+-]?[0-9]{1,2}|[KMGTPE]i|[numkMGTPE]?)")
_SCALES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


class QuantityError(ValueError):
    """Text that is not a quantity."""


def parse(quantity: str | float) -> Decimal:
    """Give a quantity's value. Raises `QuantityError`."""
    found = _FORM.fullmatch(str(quantity))
    if found is None or len(found[1]) > 40:
        raise QuantityError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, suffix = found.groups()
    scale = _SCALES.get(suffix)
    return Decimal(number) * scale if scale is not None else Decimal(number + suffix)
