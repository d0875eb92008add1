"""Reads request bodies, and copies JSON values in the way the API understands them. Pure."""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

import yaml

Json = dict[str, Any]

_DEEPEST = 100  # levels of nesting; no object of the API comes near
_SURROGATES = re.compile("[\ud800-\udfff]")  # halves of a pair that stand alone: no text in any encoding


class BodyError(ValueError):
    """A body that cannot be read; the message says why."""


def from_json(data: bytes) -> Any:
    """Read JSON. Numbers are finite; half a surrogate pair becomes U+FFFD, as in Go. Raises `BodyError`."""
    try:
        value = json.loads(data, parse_constant=_refuse, parse_float=_finite)
        return _mended(value, len(data)) if b"\\u" in data else value
    except RecursionError as error:
        raise BodyError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise BodyError(f"the body is not JSON: {error}") from error


def from_yaml(data: bytes) -> Any:
    """Read one YAML document; timestamps stay text, as in JSON, and the rest of `from_json` holds too.

    Aliases are followed as long as what they stand for is not larger than the text itself. Raises `BodyError`.
    """
    try:
        value = yaml.load(data, Loader=_Loader)  # noqa: S506  # _Loader is the safe loader without timestamps
        return _mended(value, len(data))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BodyError(f"the body is not YAML: {error}") from error


def _refuse(text: str) -> Any:
    raise BodyError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BodyError(f"the number {text[:40]} is too large")
    return number


def _mended(value: Any, most: int) -> Any:
    """Copy a value with whole text and finite numbers. `most` bounds how many values it may consist of."""
    left = [most + 1]

    def copy(value: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise BodyError("the aliases of the YAML stand for more than its text")
        if isinstance(value, str):
            return value if value.isascii() else _SURROGATES.sub("\ufffd", value)
        if isinstance(value, dict):
            return {copy(name): copy(item) for name, item in value.items()}
        if isinstance(value, list):
            return [copy(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            raise BodyError(f"{value} is not a number of JSON")
        return value

    return copy(value)


class _Loader(yaml.SafeLoader):
    """YAML as JSON sees it."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # the base class declares it this way
        first: [(tag, expression) for tag, expression in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def own(value: Any, depth: int = 0) -> Any:
    """Copy a JSON value, so that nobody else can change it. A null in an object means "not set" and is left out."""
    if isinstance(value, dict):
        if depth > _DEEPEST:
            raise BodyError("the object is nested too deeply")
        return {_key(name): own(item, depth + 1) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        if depth > _DEEPEST:
            raise BodyError("the object is nested too deeply")
        return [own(item, depth + 1) for item in value]
    return value


def _key(name: Any) -> str:
    return sys.intern(name) if isinstance(name, str) else json.dumps(name)  # the same few names are in all objects
