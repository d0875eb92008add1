"""What can go wrong in the service proxy.

ProxyError
+-- Unavailable      the backend cannot work on this host, and why
+-- CommitFailed     the kernel took nothing of a batch, for a cause that is nobody's in particular
|   +-- AlreadyThere what it would have made exists
+-- Refused          the kernel took nothing of a batch, because of certain Services
+-- PagesNotServed   an address of the proxy's own pages cannot be had
+-- Misconfigured    a configuration file or flag says something that cannot be
"""

from __future__ import annotations

from collections.abc import Mapping


class ProxyError(Exception):
    """Anything the service proxy fails with on purpose."""


class Unavailable(ProxyError):
    """A backend cannot work here; the message is one sentence that says what is missing."""


class CommitFailed(ProxyError):
    """A batch failed as a whole; trying again may help."""


class AlreadyThere(CommitFailed):
    """A batch failed because somebody else has made the same meanwhile."""


class Refused(ProxyError):
    """The kernel refused parts of a batch: `causes` gives the error for each Service that is to blame."""

    def __init__(self, causes: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"Service {key}: {cause}" for key, cause in causes.items()))
        self.causes = causes


class PagesNotServed(ProxyError):
    """An address and port of the proxy's own pages cannot be had."""


class Misconfigured(ProxyError):
    """A configuration file or flag says something that cannot be; the message names it and what is accepted."""
