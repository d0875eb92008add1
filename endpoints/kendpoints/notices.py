"""What people are told of in Events: each part that was left out, under the reason it is filed by. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from kapi.network import Problem


class Reason(StrEnum):
    """The `reason` of an Event; all but the first are Kubernetes' own."""

    LEFT_OUT = "EndpointLeftOut"
    NO_HINTS = "TopologyAwareHintsDisabled"
    INVALID_ADDRESS = "InvalidIPAddress"
    TOO_MANY_TO_MIRROR = "TooManyAddressesToMirror"
    SLICES_FAILED = "FailedToUpdateEndpointSlices"
    ENDPOINTS_FAILED = "FailedToUpdateEndpoint"


@dataclass(frozen=True, slots=True, order=True)
class Notice:
    """One thing that people should know of: where it is, and what became of it."""

    reason: Reason
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


def left_out(problems: Iterable[Problem], reason: Reason = Reason.LEFT_OUT) -> Iterator[Notice]:
    """Tell of what could not be read."""
    return (Notice(reason, problem.field, problem.message) for problem in problems)
