"""The lab's side of the line to the command that started it: what is done, and what went wrong."""

from __future__ import annotations

import json
import logging
import os
import socket
from contextlib import suppress
from typing import Any, NoReturn

from kapi.errors import leaves
from netnslab.errors import LabError

log = logging.getLogger(__name__)


class Caller:
    """Whoever waits for the lab to come up. It may be interrupted, and then nobody listens."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line  # its other end closes when the caller goes

    def tell(self, step: str) -> None:
        """Tell that a step is done."""
        self._send({"step": step})

    def fail(self, error: BaseException) -> None:
        """Tell the log all about an error, and the caller the heart of it."""
        log.error("the lab ends", exc_info=error)
        cause = next(leaves(error))
        said = str(cause) if isinstance(cause, LabError) else f"{type(cause).__name__}: {cause}"
        self._send({"error": said, "exit_code": getattr(cause, "exit_code", 1)})

    def leave(self, error: BaseException | None) -> NoReturn:
        """End this process at once.

        Nothing of a lab needs to be put in order before it ends, and an orderly end would only take time.
        """
        if error is not None:
            self.fail(error)
        os._exit(0 if error is None else 1)

    def close(self) -> None:
        """There is nothing more to tell."""
        self.line.close()

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(OSError):
            self.line.sendall(json.dumps(message).encode() + b"\n")
