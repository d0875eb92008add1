"""What host and path a request is for, in one normal form that is both routed on and forwarded. Pure.

A path means the same to the router and to the upstream, or a rule could be walked around. So it is decided once:

- percent-encoded unreserved characters are decoded, other escapes are kept with capital digits (RFC 3986 6.2.2);
  `%2F` is therefore data and never separates path elements;
- `.` and `..` elements are resolved, escaped ones too; a path that climbs above the root is refused;
- `//` is kept: an empty element is an element;
- refused: `%00` and other escaped control characters, broken escapes, backslashes, `#`, spaces, controls, non-ASCII.

The query is forwarded as it came.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

_ESCAPE = re.compile(rb"%(.{0,2})", re.DOTALL)
_DOT_ELEMENT = re.compile(rb"/\.{1,2}(?:/|$)")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]")
_LONGEST_HOST = 255


class BadTarget(ValueError):
    """A request target or Host that is refused; the message says why."""


def normal_target(target: bytes) -> tuple[bytes, str]:
    """Split an origin-form target: the bytes to forward, and the path to route on. Raises BadTarget."""
    text = target.decode("latin-1")
    if not (text.isascii() and text.isprintable()) or " " in text or "#" in text or "\\" in text:
        raise BadTarget("the request target has a character that is not allowed in a URL")
    if text[:1] != "/":
        raise BadTarget("the request target does not start with /")
    if "%" not in text and "/." not in text:
        return target, text.partition("?")[0]
    path, mark, query = target.partition(b"?")
    normal = normal_path(path)
    return (target if normal is path else normal + mark + query), normal.decode("ascii")


def normal_path(path: bytes) -> bytes:
    """Give the normal form of a path of visible ASCII; the same object where nothing changes. Raises BadTarget."""
    if b"%" in path:
        path = _ESCAPE.sub(_unescape, path)
    if b"/." in path and _DOT_ELEMENT.search(path):
        path = _without_dots(path)
    return path


def rule_path(path: str) -> str:
    """Give the normal form of a path as a person writes it in a rule: other characters are escaped as UTF-8."""
    escaped = quote(path, safe="!\"$%&'()*+,/:;<=>?@[]^`{|}~-._")
    return normal_path(escaped.encode("ascii")).decode("ascii")


@lru_cache(maxsize=4096)
def host_of(authority: bytes) -> str:
    """Give the host of a Host header, in small letters, without port or final dot. Raises BadTarget."""
    text = authority.decode("latin-1").lower()
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, ""
    elif port and not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
        raise BadTarget("the Host has a port that is not a number")
    if len(host) > _LONGEST_HOST or not _HOST.fullmatch(host):
        raise BadTarget("the Host is not a host name or address")
    return host.removesuffix(".")


def split_absolute(target: bytes) -> tuple[bytes, bytes]:
    """Split an absolute-form target into authority and origin form (RFC 9112 3.2.2). Raises BadTarget."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise BadTarget("the request target is neither a path nor an http URL")
    end = min((i for i in (rest.find(b"/"), rest.find(b"?")) if i >= 0), default=len(rest))
    path = rest[end:]
    return rest[:end], path if path.startswith(b"/") else b"/" + path


def _unescape(found: re.Match[bytes]) -> bytes:
    digits = found[1]
    try:
        value = int(digits, 16) if digits.isalnum() and len(digits) == 2 else -1
    except ValueError:
        value = -1
    if value < 0:
        raise BadTarget("the request target has a % that is not followed by two hexadecimal digits")
    if value < 0x20 or value == 0x7F:
        raise BadTarget("the request target has an escaped control character")
    return bytes((value,)) if value in _UNRESERVED else b"%" + digits.upper()


def _without_dots(path: bytes) -> bytes:
    """Resolve `.` and `..` elements (RFC 3986 5.2.4), but never above the root."""
    elements = path.split(b"/")[1:]
    kept: list[bytes] = []
    for element in elements:
        if element == b"..":
            if not kept:
                raise BadTarget("the request target climbs above the root")
            kept.pop()
        elif element != b".":
            kept.append(element)
    if elements[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
