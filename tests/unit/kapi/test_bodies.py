"""What comes in as JSON or YAML is JSON ever after: finite numbers, whole text, no more than was sent."""

from __future__ import annotations

import pytest

from kapi.codec import bodies
from kapi.codec.bodies import BodyError


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_cannot_hold_is_refused(number: str) -> None:
    with pytest.raises(BodyError):
        bodies.from_json(f'{{"a": {number}}}'.encode())


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
def test_the_same_in_yaml(number: str) -> None:
    with pytest.raises(BodyError):
        bodies.from_yaml(f"a: {number}".encode())


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert bodies.from_json(rb'{"\ud800": "a\udfffb", "whole": "\ud83d\ude00"}') == {
        "\ufffd": "a\ufffdb",
        "whole": "\U0001f600",
    }
    assert bodies.from_yaml(b'a: "\\ud800"') == {"a": "\ufffd"}


def test_aliases_may_repeat_a_little() -> None:
    assert bodies.from_yaml(b"a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_yaml_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BodyError, match="aliases"):
        bodies.from_yaml("\n".join(lines).encode())
