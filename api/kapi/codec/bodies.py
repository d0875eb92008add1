"""Reads request bodies, and copies JSON values in the way the API understands them. Pure."""

from __future__ import annotations

import json
from typing import Any

import yaml

Json = dict[str, Any]

_DEEPEST = 100  # levels of nesting; no object of the API comes near


class BodyError(ValueError):
    """A body that cannot be read; the message says why."""


def from_json(data: bytes) -> Any:
    """Read JSON. Raises `BodyError`."""
    try:
        return json.loads(data, parse_constant=_refuse)
    except RecursionError as error:
        raise BodyError("the JSON is nested too deeply") from error
    except ValueError as error:
        raise BodyError(f"the body is not JSON: {error}") from error


def from_yaml(data: bytes) -> Any:
    """Read one YAML document; timestamps stay text, as in JSON. Raises `BodyError`."""
    try:
        return yaml.load(data, Loader=_Loader)  # noqa: S506  # _Loader is the safe loader without timestamps
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BodyError(f"the body is not YAML: {error}") from error


def _refuse(text: str) -> Any:
    raise BodyError(f"{text} is not JSON")


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
    return name if isinstance(name, str) else json.dumps(name)
