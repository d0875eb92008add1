"""Quantities."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kapi.quantities import QuantityError, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100m", "0.1"),
        ("1", "1"),
        (2, "2"),
        (0.5, "0.5"),
        ("1.5Gi", "1610612736"),
        ("2e3", "2000"),
        ("1E", "1000000000000000000"),
        ("-1k", "-1000"),
        (".5", "0.5"),
        ("10n", "0.00000001"),
    ],
)
def test_a_quantity_has_its_value(text: str | float, value: str) -> None:
    assert parse(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1KI", "--1", "1.2.3", "e3"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(QuantityError):
        parse(text)
