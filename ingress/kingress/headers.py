"""Which headers end here, which are ours to write, and which nobody may remove. Pure.

Names are in small letters. Sources: RFC 9110 7.6.1 (Connection and hop-by-hop fields), RFC 9112 6 (framing), and for
the forwarded headers what ingress controllers are expected to send.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kingress.message import Header

FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
# What decides how a message is read, routed, admitted or kept must come before its body (RFC 9110 6.5.1).
NOT_IN_TRAILERS: Final = frozenset(
    (
        b"age",
        b"authorization",
        b"cache-control",
        b"content-encoding",
        b"content-range",
        b"content-type",
        b"date",
        b"expires",
        b"host",
        b"location",
        b"retry-after",
        b"server",
        b"set-cookie",
        b"vary",
        b"warning",
        b"www-authenticate",
    )
)
HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    )
)
FORWARDED: Final = frozenset(
    (
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-scheme",
        b"x-forwarded-server",
        b"x-original-forwarded-for",
        b"x-original-url",
        b"x-real-ip",
        b"x-rewrite-url",
        b"x-scheme",
    )
)
# A client that names one of these in Connection would make the upstream act without it.
PROTECTED: Final = FORWARDED | frozenset((b"authorization", b"content-type", b"cookie", b"host", b"x-request-id"))

TOLD: Final = FORWARDED | frozenset((b"x-request-id",))  # a client may say these, and the ingress says them too
REQUEST_SPECIAL: Final = FRAMING | HOP_BY_HOP | FORWARDED | frozenset((b"expect", b"host", b"x-request-id"))
RESPONSE_SPECIAL: Final = FRAMING | HOP_BY_HOP


@lru_cache(maxsize=256)
def tokens(value: bytes) -> tuple[bytes, ...]:
    """Split a comma-separated list into its members, in small letters."""
    return tuple(token for token in (part.strip(b" \t") for part in value.lower().split(b",")) if token)


def without(headers: list[Header], names: tuple[bytes, ...]) -> list[Header]:
    """Leave out the headers that Connection names, except those that no client may remove."""
    removed = set(names) - PROTECTED - {b"close", b"keep-alive"}
    if not removed:
        return headers
    return [header for header in headers if header[0].lower() not in removed]


def is_request_id(value: bytes) -> bool:
    """Whether a request id from outside is fit for logs and headers."""
    return 0 < len(value) <= 128 and value.isascii() and value.replace(b"-", b"").replace(b"_", b"").isalnum()
