"""The features of routes, one row each: its annotation, what it sets, how its text is read. Pure.

`kproxy.io/<name>` is ours; the annotations of ingress-nginx that mean the same are read too. Text from objects is only
ever read into values: never into code, configuration or headers that it could break out of.

An annotation that cannot be read, or is not known, is left out, with a problem for an Event. Where it guards something,
leaving it out would open what was meant to be closed: then the routes answer 503 until it is mended.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import Any, Final

from kapi.network import Network, Problem
from kingress.headers import FRAMING, HOP_BY_HOP
from kingress.policy import Edit, Policy

OURS: Final = "kproxy.io/"
NGINX: Final = "nginx.ingress.kubernetes.io/"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_PATH = re.compile(r"/[!-\"$-\[\]-~]*")
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}(?::|$)){_LABEL}(?:\.{_LABEL})*\.?(?::\d{{1,5}})?")
_SIZE = re.compile(r"(\d+)([kKmMgG]?)")
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s?")
_URL = re.compile(r"(?:https?://[^\s/$\\]+)?(?:/[!-#%-\[\]-~]*|\$request_uri)?")
_CAPTURED = re.compile(r"(/[^$]*)\$([12])")
_NOT_SETTABLE = FRAMING | HOP_BY_HOP | {b"host"}


@dataclass(frozen=True, slots=True)
class Feature:
    """One row: `read` turns text into the value of a field of `Policy`, or raises ValueError saying what it takes."""

    name: str
    field: str
    read: Callable[[str], Any]
    means: str
    nginx: tuple[str, ...] = ()  # annotations of ingress-nginx of the same meaning
    guards: bool = False


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("true or false")
    return text == "true"


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("a list of networks, such as 10.0.0.0/8,2001:db8::/32") from None


def _url(text: str) -> str:
    if not text or not _URL.fullmatch(text):
        raise ValueError("a URL or path, at its end perhaps $request_uri")
    return text


def _code(*codes: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not text.isdigit() or int(text) not in codes:
            raise ValueError("one of " + ", ".join(map(str, codes)))
        return int(text)

    return read


def _path(text: str) -> str:
    if not _PATH.fullmatch(text):
        raise ValueError("a path that begins with /")
    return text


def _whole_path(text: str) -> str:
    if "$" in text:
        raise ValueError(f"a path; for captures of a regular expression use {OURS}replace-prefix")
    return _path(text)


def _token(text: str) -> bytes:
    if not _TOKEN.fullmatch(text):
        raise ValueError("a name as in HTTP headers")
    return text.encode("ascii")


def _value(text: str) -> bytes:
    if not _VALUE.fullmatch(text):
        raise ValueError("visible ASCII characters")
    return text.encode("ascii")


def _host(text: str) -> bytes:
    if not _HOST.fullmatch(text):
        raise ValueError("a host name, perhaps with a port")
    return text.encode("ascii")


def _name(text: str) -> str:
    return _host(text).decode("ascii")


def _edit(text: str) -> Edit:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wanted, removed = [], set()
    for line in lines:
        name, colon, value = line.removeprefix("-").partition(":")
        key = _token(name)
        if key.lower() in _NOT_SETTABLE:
            raise ValueError(f"headers that are not the proxy's own, as {name} is")
        removed.add(key.lower())
        if not line.startswith("-"):
            if not colon:
                raise ValueError("lines such as `Name: value` or `-Name`")
            wanted.append((key, _value(value.strip()) if value.strip() else b""))
    return Edit(tuple(wanted), frozenset(removed))


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError("a number of bytes, perhaps with k, m or g")
    return int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[found[2].lower()]


def _seconds(text: str) -> float:
    found = _SECONDS.fullmatch(text)
    if not found or float(found[1]) <= 0:
        raise ValueError("a number of seconds above 0")
    return float(found[1])


def _number(text: str) -> int:
    if not text.isdigit() or len(text) > 9:
        raise ValueError("a number")
    return int(text)


def _one_of(**values: Any) -> Callable[[str], Any]:
    """Give a reader of words; `_` in a word's name may be written as - too."""

    def read(text: str) -> Any:
        try:
            return values[text.replace("-", "_")]
        except KeyError:
            raise ValueError("one of " + ", ".join(word.replace("_", "-") for word in values)) from None

    return read


_NGINX_HASHES: Final = {"$remote_addr": "client", "$binary_remote_addr": "client", "$request_uri": "uri"}


def _hash_by(text: str) -> str:
    if text in _NGINX_HASHES:
        return _NGINX_HASHES[text]
    for variable, kind in (("$http_", "header:"), ("$cookie_", "cookie:")):
        if text.startswith(variable):
            text = kind + text.removeprefix(variable).replace("_", "-" if kind == "header:" else "_")
    kind, _, name = text.partition(":")
    if text in ("client", "uri") or (kind in ("header", "cookie") and _TOKEN.fullmatch(name)):
        return text
    raise ValueError("client, uri, header:NAME or cookie:NAME")


_BALANCES = _one_of(round_robin="round-robin", least_requests="least-requests", random_two="random-two")
_HTTPS = _one_of(HTTP=False, HTTPS=True)

FEATURES: Final = (
    Feature(
        "allow",
        "allow",
        _networks,
        "only clients of these networks are served",
        ("whitelist-source-range", "allowlist-source-range"),
        guards=True,
    ),
    Feature("deny", "deny", _networks, "clients of these networks are refused", ("denylist-source-range",), True),
    Feature("redirect-https", "redirect_https", _boolean, "http is redirected to https", ("force-ssl-redirect",), True),
    Feature(
        "redirect-https-with-tls",
        "redirect_https_with_tls",
        _boolean,
        "the same, where the Ingress has a tls section",
        ("ssl-redirect",),
        True,
    ),
    Feature("permanent-redirect", "permanent_redirect", _url, "everything is redirected", ("permanent-redirect",)),
    Feature(
        "permanent-redirect-code",
        "permanent_redirect_code",
        _code(301, 308),
        "with this status (301)",
        ("permanent-redirect-code",),
    ),
    Feature(
        "temporary-redirect", "temporary_redirect", _url, "everything is redirected for now", ("temporal-redirect",)
    ),
    Feature(
        "temporary-redirect-code",
        "temporary_redirect_code",
        _code(302, 303, 307),
        "with this status (302)",
        ("temporal-redirect-code",),
    ),
    Feature("app-root", "app_root", _path, "/ is redirected to this path", ("app-root",)),
    Feature("replace-prefix", "replace_prefix", _path, "the rule's path is replaced, the rest of the path is kept"),
    Feature("replace-path", "replace_path", _whole_path, "the whole path is replaced", ("rewrite-target",)),
    Feature("upstream-host", "upstream_host", _host, "the Host that the upstream is sent", ("upstream-vhost",)),
    Feature("request-headers", "request_headers", _edit, "lines `Name: value` to set and `-Name` to remove"),
    Feature("response-headers", "response_headers", _edit, "the same for responses"),
    Feature(
        "body-limit", "body_limit", _size, "larger request bodies are refused with 413", ("proxy-body-size",), True
    ),
    Feature(
        "connect-timeout",
        "connect_timeout",
        _seconds,
        "seconds to connect to an endpoint (5)",
        ("proxy-connect-timeout",),
    ),
    Feature(
        "read-timeout",
        "read_timeout",
        _seconds,
        "seconds between two pieces of a response (60)",
        ("proxy-read-timeout",),
    ),
    Feature(
        "send-timeout",
        "send_timeout",
        _seconds,
        "seconds in which an endpoint takes nothing (60)",
        ("proxy-send-timeout",),
    ),
    Feature("balance", "balance", _BALANCES, "round-robin, least-requests or random-two", ("load-balance",)),
    Feature(
        "hash-by",
        "hash_by",
        _hash_by,
        "equal ones of client, uri, header:NAME or cookie:NAME reach the same endpoint",
        ("upstream-hash-by",),
    ),
    Feature(
        "backend-protocol", "backend_https", _HTTPS, "HTTPS: endpoints are spoken to with TLS", ("backend-protocol",)
    ),
    Feature("backend-ca", "backend_ca", _name, "the Secret whose ca.crt endpoints' certificates must be signed by"),
    Feature(
        "backend-server-name",
        "backend_server_name",
        _name,
        "the name that their certificates are for",
        ("proxy-ssl-name",),
    ),
    Feature("health-path", "health_path", _path, "asked of each endpoint every few seconds; 2xx and 3xx are healthy"),
    Feature(
        "sticky", "sticky", _one_of(true=True, false=False, cookie=True), "a cookie keeps the endpoint", ("affinity",)
    ),
    Feature("sticky-name", "sticky_name", _token, "its name (kingress)", ("session-cookie-name",)),
    Feature("sticky-path", "sticky_path", lambda text: _path(text).encode(), "its path (/)", ("session-cookie-path",)),
    Feature("sticky-max-age", "sticky_max_age", _number, "its life in seconds", ("session-cookie-max-age",)),
    Feature("sticky-secure", "sticky_secure", _boolean, "it is sent over TLS only", ("session-cookie-secure",)),
    Feature(
        "sticky-same-site",
        "sticky_same_site",
        _one_of(None_=b"None", Lax=b"Lax", Strict=b"Strict", **{"None": b"None"}),
        "None, Lax or Strict",
        ("session-cookie-samesite",),
    ),
    Feature("canary", "canary", _boolean, "these rules take a part of the requests of another Ingress", ("canary",)),
    Feature("canary-weight", "canary_weight", _number, "how many of a hundred", ("canary-weight",)),
    Feature("canary-weight-total", "canary_weight_total", _number, "another number than 100", ("canary-weight-total",)),
    Feature("canary-header", "canary_header", _token, "a header that says always or never", ("canary-by-header",)),
    Feature(
        "canary-header-value",
        "canary_header_value",
        _value,
        "the value that means always",
        ("canary-by-header-value",),
    ),
    Feature("canary-cookie", "canary_cookie", _token, "a cookie that says always or never", ("canary-by-cookie",)),
)


# What ingress-nginx guards routes by and nothing here does. Left out, it would open what an Ingress closes.
FOREIGN_GUARDS: Final = frozenset(
    NGINX + name
    for name in (
        "auth-secret",
        "auth-tls-match-cn",
        "auth-tls-secret",
        "auth-tls-verify-client",
        "auth-type",
        "auth-url",
        "enable-global-auth",
        "enable-modsecurity",
    )
)
_OFF: Final = ("", "false", "off")
_KNOWN: Final = frozenset(
    key for feature in FEATURES for key in (OURS + feature.name, *(NGINX + name for name in feature.nginx))
)


def read(annotations: Mapping[str, str], *, has_tls: bool = False) -> tuple[Policy, list[Problem]]:
    """Give the policy that annotations ask for, and what is wrong with them."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for feature in FEATURES:
        for key in (*(NGINX + name for name in feature.nginx), OURS + feature.name):  # ours is read last, and wins
            if key not in annotations:
                continue
            text = str(annotations[key]).strip()
            try:
                _set(found, feature, key, text)
            except ValueError as error:
                problem = Problem(f"metadata.annotations[{key}]", f"{text[:80]!r} is not understood; it takes {error}")
                problems.append(problem)
                if feature.guards:
                    found["broken"] = f"A guard of this route is not understood: {problem}"
    for key in annotations:
        if key.startswith((OURS, NGINX)) and key not in _KNOWN:
            problem = Problem(f"metadata.annotations[{key}]", "there is no such feature here")
            problems.append(problem)
            if key in FOREIGN_GUARDS and str(annotations[key]).strip() not in _OFF:
                found["broken"] = f"A guard of this route is not understood: {problem}"
    policy = Policy(**found)
    if policy.redirect_https_with_tls:
        policy = replace(policy, redirect_https=policy.redirect_https or has_tls, redirect_https_with_tls=False)
    return policy, problems


def capture(annotations: Mapping[str, Any]) -> str:
    """Give the number of the capture that ingress-nginx' rewrite puts behind the new prefix; nothing where none is."""
    found = _CAPTURED.fullmatch(str(annotations.get(f"{NGINX}rewrite-target", "")).strip())
    return found[2] if found else ""


def _set(found: dict[str, Any], feature: Feature, key: str, text: str) -> None:
    captured = _CAPTURED.fullmatch(text) if key == NGINX + "rewrite-target" else None
    if captured:  # with a path such as /shop(/|$)(.*), the capture is what follows the prefix
        found["replace_prefix"] = _path(captured[1])
    else:
        found[feature.field] = feature.read(text)
