"""What can go wrong with the API.

ApiError
+-- StatusError            the server answered with a Kubernetes Status
|   +-- BadRequest         400
|   +-- Forbidden          403
|   +-- NotFound           404
|   +-- AlreadyExists      409, reason AlreadyExists
|   +-- Conflict           409, reason Conflict
|   +-- Expired            410: relist, the history asked for is gone
|   +-- Invalid            422: a field is wrong, and named
|   +-- TooManyRequests    429: wait `retry_after` seconds
+-- ConnectionLost         the server could not be reached, or went away while answering
+-- DecodeError            an object that cannot be read at all
+-- LeaseLost              who led does so no longer
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar


class ApiError(Exception):
    """Anything the API or the way to it can fail with."""


class StatusError(ApiError):
    """The server refused: `status` is its Kubernetes Status object."""

    code: ClassVar[int] = 500
    reason: ClassVar[str] = "InternalError"

    def __init__(self, status: dict[str, Any]) -> None:
        super().__init__(status.get("message") or status.get("reason") or "the server refused without a message")
        self.status = status

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before trying again, where the server said so."""
        return (self.status.get("details") or {}).get("retryAfterSeconds")


class BadRequest(StatusError):
    """The request could not be understood."""

    code = 400
    reason = "BadRequest"


class Forbidden(StatusError):
    """The request was understood and is not allowed."""

    code = 403
    reason = "Forbidden"


class NotFound(StatusError):
    """There is no such object, or no such resource."""

    code = 404
    reason = "NotFound"


class AlreadyExists(StatusError):
    """An object of that name exists."""

    code = 409
    reason = "AlreadyExists"


class Conflict(StatusError):
    """The object changed since it was read."""

    code = 409
    reason = "Conflict"


class Expired(StatusError):
    """The resource version asked for is no longer kept: list again."""

    code = 410
    reason = "Expired"


class Invalid(StatusError):
    """The object is well-formed and one of its fields is wrong."""

    code = 422
    reason = "Invalid"


class TooManyRequests(StatusError):
    """The server asks for patience."""

    code = 429
    reason = "TooManyRequests"


class ConnectionLost(ApiError):
    """The server could not be reached, or the connection ended in the middle of an answer."""


class DecodeError(ApiError):
    """An object so malformed that nothing of it can be used; the message names it."""


class LeaseLost(ApiError):
    """The Lease of a leader was not renewed in time, and may be another's."""


_BY_REASON: dict[str, type[StatusError]] = {
    kind.reason: kind
    for kind in (BadRequest, Forbidden, NotFound, AlreadyExists, Conflict, Expired, Invalid, TooManyRequests)
}
_BY_REASON["Gone"] = Expired
_BY_CODE: dict[int, type[StatusError]] = {
    kind.code: kind for kind in (BadRequest, Forbidden, NotFound, Conflict, Expired, Invalid, TooManyRequests)
}


def from_status(status: dict[str, Any]) -> StatusError:
    """Give the error class that fits a Status: by reason first, by code where the reason is unknown."""
    kind = _BY_REASON.get(status.get("reason") or "") or _BY_CODE.get(status.get("code") or 0, StatusError)
    return kind(status)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors that a group is of, and the groups in it; one that is no group is the only one."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for inner in error.exceptions:
        yield from leaves(inner)
