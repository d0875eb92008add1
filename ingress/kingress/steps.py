"""What a policy does to a request and to its response: small steps, each a pure function.

`judge` goes through the steps that may answer a request at once; `change` alters what is forwarded, `finish` what is
answered. They know no HTTP version, no socket and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from kingress.match import Route
from kingress.message import Header, Request, Response
from kingress.policy import Policy

_ACME = "/.well-known/acme-challenge/"  # asked over http, before there is a certificate (RFC 8555 8.3)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and who made it: the address of the client and the scheme it used, as far as they are believed."""

    request: Request
    client: str
    scheme: bytes
    secure: bool = False  # it came over TLS to us, whatever it was before


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that the ingress gives itself."""

    status: int
    why: str
    headers: tuple[Header, ...] = ()


def judge(policy: Policy, asked: Asked) -> Reply | None:
    """Give the answer of the first step that has one."""
    for step in _STEPS:
        reply = step(policy, asked)
        if reply is not None:
            return reply
    return None


def change(policy: Policy, route: Route, request: Request) -> None:
    """Alter what is forwarded. The request is ours alone, but its list of headers is not."""
    path, mark, query = request.target.partition(b"?")
    if policy.replace_path:
        path = policy.replace_path.encode("ascii")
    elif policy.replace_prefix and route.path:
        rest = path[len(route.path.removesuffix("/")) :]
        path = policy.replace_prefix.rstrip("/").encode("ascii") + (rest if rest.startswith(b"/") else b"/" + rest)
        if not rest and policy.replace_prefix != "/":
            path = policy.replace_prefix.encode("ascii")
    request.target = path + mark + query
    if policy.upstream_host:
        request.authority = policy.upstream_host
    if policy.request_headers is not None:
        request.headers = policy.request_headers.apply(request.headers)


def finish(policy: Policy, response: Response, cookie: bytes) -> Response:
    """Give the response as the client gets it; `cookie` is a Set-Cookie to add, or nothing."""
    headers = response.headers
    if policy.response_headers is not None:
        headers = policy.response_headers.apply(headers)
    if cookie:
        headers = [*headers, (b"Set-Cookie", cookie)]
    return response if headers is response.headers else replace(response, headers=headers)


def sticky_cookie(policy: Policy, token: bytes) -> bytes:
    """Write the cookie that brings a client back to an endpoint."""
    parts = [policy.sticky_name + b"=" + token, b"Path=" + policy.sticky_path, b"HttpOnly"]
    if policy.sticky_max_age:
        parts.append(b"Max-Age=%d" % policy.sticky_max_age)
    if policy.sticky_secure:
        parts.append(b"Secure")
    if policy.sticky_same_site:
        parts.append(b"SameSite=" + policy.sticky_same_site)
    return b"; ".join(parts)


def hash_key(policy: Policy, asked: Asked) -> bytes:
    """Give what the endpoint is chosen by."""
    kind, _, name = policy.hash_by.partition(":")
    if kind == "client":
        return asked.client.encode("ascii")
    if kind == "uri":
        return asked.request.target
    if kind == "cookie":
        return cookie(asked.request, name.encode("ascii"))
    return header(asked.request, name.lower().encode("ascii"))


def header(request: Request, name: bytes) -> bytes:
    """Give the value of a header, named in small letters; the first, or nothing."""
    return next((value.strip(b" \t") for key, value in request.headers if key.lower() == name), b"")


def cookie(request: Request, name: bytes) -> bytes:
    """Give the value of a cookie, or nothing."""
    for key, value in request.headers:
        if len(key) == 6 and key.lower() == b"cookie":
            for part in value.split(b";"):
                found, equals, text = part.strip(b" \t").partition(b"=")
                if equals and found == name:
                    return text
    return b""


def is_canary(policy: Policy, request: Request, draw: float) -> bool:
    """Whether a canary takes a request. `draw` is random, from 0 to below 1. A header decides before a cookie."""
    for value, always in (
        (header(request, policy.canary_header.lower()) if policy.canary_header else b"", policy.canary_header_value),
        (cookie(request, policy.canary_cookie) if policy.canary_cookie else b"", b""),
    ):
        if value and value == (always or b"always"):
            return True
        if value == b"never" and not always:
            return False
    return draw * policy.canary_weight_total < policy.canary_weight


# The steps that may answer, in the order in which they are asked.


def _broken(policy: Policy, _: Asked) -> Reply | None:
    return Reply(503, f"{policy.broken}.") if policy.broken else None


def _admitted(policy: Policy, asked: Asked) -> Reply | None:
    if not policy.allow and not policy.deny:
        return None
    try:
        address = ip_address(asked.client)
    except ValueError:  # a trusted proxy has said something else
        return Reply(403, "The address of the client is not known.")
    denied = any(address in network for network in policy.deny)
    if denied or (policy.allow and not any(address in network for network in policy.allow)):
        return Reply(403, "This address is not admitted here.")
    return None


def _certified(policy: Policy, asked: Asked) -> Reply | None:
    return Reply(503, policy.uncertified) if policy.uncertified and asked.secure else None


def _to_https(policy: Policy, asked: Asked) -> Reply | None:
    request = asked.request
    if not policy.redirect_https or asked.scheme == b"https" or request.path.startswith(_ACME):
        return None
    return _moved(308, b"https://" + request.host.encode("ascii") + request.target)


def _redirected(policy: Policy, asked: Asked) -> Reply | None:
    for url, status in (
        (policy.temporary_redirect, policy.temporary_redirect_code),
        (policy.permanent_redirect, policy.permanent_redirect_code),
    ):
        if url:
            return _moved(status, url.encode("ascii").replace(b"$request_uri", asked.request.target))
    if policy.app_root and asked.request.path == "/":
        return _moved(302, policy.app_root.encode("ascii"))
    return None


def _fits(policy: Policy, asked: Asked) -> Reply | None:
    if policy.body_limit and asked.request.length > policy.body_limit:
        return Reply(413, f"The body has more than {policy.body_limit} bytes.")
    return None


def _moved(status: int, location: bytes) -> Reply:
    return Reply(status, f"It is at {location.decode('ascii')}", ((b"Location", location),))


_STEPS = (_broken, _admitted, _certified, _to_https, _redirected, _fits)
