"""What the server has: the discovery documents."""

from __future__ import annotations

from kapi.server.answers import Answer
from kapi.server.kinds import Kind
from kapi.transport import Request


class Discovery:
    """Answers requests for discovery."""

    def __init__(self, kinds: tuple[Kind, ...]) -> None:
        self._kinds = kinds

    def answer(self, request: Request) -> Answer | None:
        """Answer a request for discovery; None where the path is for objects."""
        del request
        return None
