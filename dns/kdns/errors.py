"""What can go wrong in the DNS server.

DnsError
+-- NameInvalid            a text that is no domain name, or one too long for the protocol
+-- Malformed              a message that cannot be read; `rcode` is what its sender is told
+-- UpstreamFailed         no upstream gave a usable answer; the message says which were tried
+-- LoopFound              what is forwarded comes back to this very server
+-- NotKnown               the cluster was not known in time, so nothing can be said of it
+-- NodeRefused            this node does not let us have an address or rules
+-- SettingInvalid         a flag or a file whose value makes no sense
"""

from __future__ import annotations


class DnsError(Exception):
    """Anything the DNS server can fail with."""


class NameInvalid(DnsError, ValueError):
    """A text that is no domain name, or one too long for the protocol (RFC 1035 section 2.3.4)."""


class Malformed(DnsError):
    """A message that cannot be read or is not served; `rcode` is the answer it deserves."""

    def __init__(self, message: str, rcode: int) -> None:
        super().__init__(message)
        self.rcode = rcode


class UpstreamFailed(DnsError):
    """No upstream gave a usable answer."""


class SettingInvalid(DnsError):
    """A flag or a file whose value makes no sense."""


class LoopFound(DnsError):
    """What is forwarded comes back to this very server."""


class NodeRefused(DnsError):
    """This node does not let us have an address or rules of its packet filter."""


class NotKnown(DnsError):
    """The cluster was not known in time, so nothing can be said of it."""
