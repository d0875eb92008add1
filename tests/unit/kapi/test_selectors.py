"""Label and field selectors: what they say, and what they match."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.selectors import (
    SelectorError,
    from_object,
    matcher,
    matches_labels,
    parse_fields,
    parse_labels,
    to_text,
)

LABELS = {"app": "web", "tier": "front", "example.com/weight": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=db", True),
        ("app in (web, db)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("missing notin (db)", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("example.com/weight>4", True),
        ("example.com/weight<4", False),
        ("empty=", True),
        ("empty in ()", True),
    ],
)
def test_a_label_selector_matches_as_documented(text: str, expected: bool) -> None:
    assert matches_labels(parse_labels(text), LABELS) is expected


@pytest.mark.parametrize("text", ["=web", "app in web", "app in (a", "a=b,", "a b", "app=we b", "a>x", "!", "a=-x-"])
def test_a_malformed_label_selector_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_labels(text)


@given(st.text(max_size=40))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    for parse in (parse_labels, parse_fields):
        with suppress(SelectorError):
            parse(text)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "db"}}, False),
        ({}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_a_selector_object_matches_as_its_text_would(selector: dict[str, object], expected: bool) -> None:
    terms = from_object(selector)
    assert terms is not None
    assert matches_labels(terms, LABELS) is expected
    assert matches_labels(parse_labels(to_text(terms)), LABELS) is expected


def test_no_selector_object_is_not_the_same_as_an_empty_one() -> None:
    assert from_object(None) is None
    assert from_object({}) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.name=x", True),
        ("metadata.name!=x", False),
        ("metadata.name==x,spec.on=true", True),
        ("spec.count=3", True),
        ("spec.missing=", True),
        (r"spec.odd=a\,b", True),
    ],
)
def test_a_field_selector_compares_text(text: str, expected: bool) -> None:
    obj = {"metadata": {"name": "x"}, "spec": {"on": True, "count": 3, "odd": "a,b"}}
    matches = matcher((), parse_fields(text))
    assert matches is not None
    assert matches(obj) is expected
