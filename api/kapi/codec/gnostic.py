"""An OpenAPI version 2 document as protobuf, in the messages of gnostic's OpenAPIv2.proto. Pure.

Field numbers are those of https://github.com/google/gnostic/blob/main/openapiv2/OpenAPIv2.proto. Only what our own
documents contain can be written.
"""

from __future__ import annotations

import json
from typing import Any

from kapi.codec.wire import field

Json = dict[str, Any]

_VERBS = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(spec: Json) -> bytes:
    """Write a whole document."""
    paths = b"".join(field(2, _named(name, _path_item(item))) for name, item in spec["paths"].items())
    definitions = b"".join(field(1, _named(name, _schema(s))) for name, s in spec["definitions"].items())
    info = field(1, spec["info"]["title"]) + field(2, spec["info"]["version"])
    return field(1, spec["swagger"]) + field(2, info) + field(8, paths) + field(9, definitions)


def _named(name: str, value: bytes) -> bytes:
    return field(1, name) + field(2, value)


def _path_item(item: Json) -> bytes:
    return b"".join(field(_VERBS[verb], _operation(operation)) for verb, operation in item.items())


def _operation(operation: Json) -> bytes:
    out = field(3, operation["description"]) + field(5, operation["operationId"])
    out += b"".join(field(7, media) for media in operation.get("consumes", ()))
    out += b"".join(field(8, _parameter(parameter)) for parameter in operation.get("parameters", ()))
    responses = b"".join(field(1, _named(code, _response(r))) for code, r in operation["responses"].items())
    return out + field(9, responses) + _extensions(operation, 13)


def _parameter(parameter: Json) -> bytes:
    """A query parameter, in the three layers of choices around it."""
    query = field(2, parameter["in"]) + field(4, parameter["name"]) + field(6, parameter["type"])
    return field(1, field(2, field(3, query)))


def _response(response: Json) -> bytes:
    return field(1, field(1, response["description"]) + field(2, field(1, _schema(response["schema"]))))


def _schema(schema: Json) -> bytes:
    out = b""
    for number, name in ((1, "$ref"), (2, "format"), (4, "description")):
        if schema.get(name):
            out += field(number, schema[name])
    if "additionalProperties" in schema:
        out += field(21, field(1, _schema(schema["additionalProperties"])))
    if "type" in schema:
        out += field(22, field(1, schema["type"]))
    if "items" in schema:
        out += field(23, field(1, _schema(schema["items"])))
    if "properties" in schema:
        out += field(25, b"".join(field(1, _named(name, _schema(s))) for name, s in schema["properties"].items()))
    return out + _extensions(schema, 31)


def _extensions(value: Json, number: int) -> bytes:
    """Extensions carry their value as YAML, of which JSON is a part."""
    found = ((name, item) for name, item in value.items() if name.startswith("x-"))
    return b"".join(field(number, _named(name, field(2, json.dumps(item)))) for name, item in found)
