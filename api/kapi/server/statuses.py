"""The Status objects with which the server refuses, word for word as Kubernetes says them. Pure.

Kubernetes API conventions, "Response Status Kind". `details.kind` is the resource (plural) where an object is missing,
exists or has changed, and the Kind where it is invalid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.errors import StatusError, from_status
from kapi.resources import Resource
from kapi.server.fields import FieldError

Json = dict[str, Any]


def status(code: int, reason: str, message: str, **details: Any) -> Json:
    """Give a Status of failure; details that are None or empty are left out."""
    told = {name: value for name, value in details.items() if value}
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    return body | {"reason": reason} | ({"details": told} if told else {}) | {"code": code}


def refuse(code: int, reason: str, message: str, **details: Any) -> StatusError:
    """Give the error to raise for a refusal."""
    return from_status(status(code, reason, message, **details))


def success(resource: Resource, name: str, uid: str) -> Json:
    """Give the Status with which a deletion is answered."""
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    told = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": told}


def bad_request(message: str, causes: Sequence[FieldError] = ()) -> StatusError:
    """The request makes no sense."""
    return refuse(400, "BadRequest", message, causes=[error.cause() for error in causes])


def not_found(resource: Resource, name: str) -> StatusError:
    """There is no such object."""
    message = f'{resource.qualified} "{name}" not found'
    return refuse(404, "NotFound", message, name=name, group=resource.group, kind=resource.plural)


def no_such_path() -> StatusError:
    """There is no such resource. Clients look into its details, which are there and empty."""
    return from_status(status(404, "NotFound", "the server could not find the requested resource") | {"details": {}})


def already_exists(resource: Resource, name: str, *, generated: bool = False) -> StatusError:
    """The name is taken."""
    message = f'{resource.qualified} "{name}" already exists'
    if generated:
        message += ", the server was not able to generate a unique name for the object"
    return refuse(409, "AlreadyExists", message, name=name, group=resource.group, kind=resource.plural)


def conflict(resource: Resource, name: str, why: str = "") -> StatusError:
    """The object is not what the writer thinks it is."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return refuse(409, "Conflict", message, name=name, group=resource.group, kind=resource.plural)


def invalid(resource: Resource, name: str, errors: Sequence[FieldError]) -> StatusError:
    """Fields of the object are wrong."""
    texts = [str(error) for error in errors]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    causes = [error.cause() for error in errors]
    message = f'{kind} "{name}" is invalid: {listed}'
    return refuse(422, "Invalid", message, name=name, group=resource.group, kind=resource.kind, causes=causes)


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Json] = ()) -> StatusError:
    """The request is understood and not allowed."""
    message = f'{resource.qualified} "{name}" is forbidden: {why}'
    kind = resource.plural
    return refuse(403, "Forbidden", message, name=name, group=resource.group, kind=kind, causes=list(causes))


def unprocessable(why: str) -> StatusError:
    """The request is well-formed and does not fit the object; clients show the cause."""
    message = "the server rejected our request due to an error in our request"
    return refuse(422, "Invalid", message, causes=[{"reason": "UnexpectedServerResponse", "message": why}])


def too_large(why: str) -> StatusError:
    """The request is larger than the server takes."""
    return refuse(413, "RequestEntityTooLarge", f"Request entity is too large: {why}")


def unauthorized() -> StatusError:
    """Nobody knows who is calling."""
    return refuse(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> StatusError:
    """The history that was asked for is gone."""
    return refuse(410, "Expired", message)


def too_large_version(version: int, current: int) -> StatusError:
    """The client asks for a future that has not come; it may ask again."""
    message = f"Too large resource version: {version}, current: {current}"
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return refuse(504, "Timeout", message, causes=causes, retryAfterSeconds=1)


def method_not_allowed(resource: Resource, verb: str) -> StatusError:
    """The resource exists and cannot do this."""
    message = f'{verb} is not supported on resources of kind "{resource.qualified}"'
    return refuse(405, "MethodNotAllowed", message, group=resource.group, kind=resource.plural)


def unsupported_media_type(given: str, accepted: Sequence[str]) -> StatusError:
    """The body has a type that is not understood."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return refuse(415, "UnsupportedMediaType", f"{message} (it is {given!r})" if given else message)


def not_acceptable(accepted: Sequence[str]) -> StatusError:
    """The client takes no type that the server has."""
    message = "only the following media types are accepted: " + ", ".join(accepted)
    return refuse(406, "NotAcceptable", message)


def internal(message: str) -> StatusError:
    """The server could not do it, for no fault of the client."""
    return refuse(500, "InternalError", f"Internal error occurred: {message}")
