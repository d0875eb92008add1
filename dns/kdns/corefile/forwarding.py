"""The directives `forward` and `cache`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

from kdns.corefile import words
from kdns.corefile.parse import Directive
from kdns.corefile.words import wrong
from kdns.settings import ROOT, Caching, Forwarding, Upstream

_MOST_UPSTREAMS = 15  # CoreDNS' limit
_CODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}


def forward(directive: Directive) -> Forwarding:
    """Read `forward ZONE UPSTREAM...`; an upstream is an address, `tls://` and an address, or a resolv.conf."""
    if len(directive.arguments) < 2:
        raise wrong(directive, "a zone and upstreams are needed, such as `forward . /etc/resolv.conf`")
    (zone,) = words.zones(directive.arguments[:1], directive)
    made = Forwarding(zone=zone, policy="random", max_fails=2)
    tls_name = ""
    for line in directive.block:
        if line.name == "tls_servername":
            (tls_name,) = words.only(line)
        else:
            made = _forward_line(line, made)
    upstreams: list[Upstream] = []
    for text in directive.arguments[1:]:
        if text.startswith("/"):
            made = replace(made, files=(*made.files, text))
        else:
            upstreams.append(_upstream(text, tls_name, directive))
    if len(upstreams) > _MOST_UPSTREAMS:
        raise wrong(directive, f"{len(upstreams)} upstreams are more than {_MOST_UPSTREAMS}")
    return replace(made, upstreams=tuple(upstreams))


def _forward_line(line: Directive, made: Forwarding) -> Forwarding:
    match line.name, line.arguments:
        case "policy", (("random" | "round_robin" | "sequential") as policy,):
            return replace(made, policy=policy)
        case "max_concurrent", (text,):
            return replace(made, most=words.number(text, line, 1, 1_000_000))
        case "max_fails", (text,):
            return replace(made, max_fails=words.number(text, line, 0, 1000))
        case "except", zones if zones:
            return replace(made, excepted=(*made.excepted, *words.zones(zones, line)))
        case "force_tcp", ():
            return replace(made, tcp=True)
        case "prefer_udp", ():
            return replace(made, tcp=False)
        case "health_check", (text, *_):
            return replace(made, probe=words.duration(text, line))
        case "failover", codes if codes:
            return replace(made, failover=tuple(_code(code, line) for code in codes))
        case (("expire" | "max_age" | "next"), _):
            return made  # connections are not kept, so none grows old
        case name, arguments:
            raise wrong(line, f"{' '.join((name, *arguments))!r} is not supported in forward")


def _code(text: str, line: Directive) -> int:
    if text.upper() not in _CODES:
        raise wrong(line, f"{text!r} is no response code; known are {', '.join(_CODES)}")
    return _CODES[text.upper()]


def _upstream(text: str, tls_name: str, directive: Directive) -> Upstream:
    scheme, _, rest = text.rpartition("://")
    if scheme not in {"", "dns", "tls"}:
        raise wrong(directive, f"{text!r}: only dns:// and tls:// upstreams are supported")
    port = 853 if scheme == "tls" else 53
    try:
        where = str(ip_address(rest.strip("[]")))
    except ValueError:
        if ":" not in rest:
            raise wrong(directive, f"{text!r} is neither an address nor a file") from None
        ((at, port),) = words.places(rest, directive)
        where = str(at)
    return Upstream(where, port, (tls_name or where) if scheme == "tls" else "")


def cache(directive: Directive) -> Caching:
    """Read `cache [TTL] [ZONE...]`; what is remembered is only what is forwarded, whatever zones are named."""
    made = Caching()
    if directive.arguments and directive.arguments[0].isdecimal():
        longest = words.number(directive.arguments[0], directive, 0, 86400)
        made = replace(made, longest=longest, longest_denied=min(longest, made.longest_denied))
    for line in directive.block:
        made = _cache_line(line, made)
    return made


def _cache_line(line: Directive, made: Caching) -> Caching:
    match line.name, line.arguments:
        case "success", (capacity, *ttls):
            entries = words.number(capacity, line, 0, 10_000_000)
            made = replace(made, entries=entries)
            return replace(made, longest=words.number(ttls[0], line, 0, 86400)) if ttls else made
        case "denial", (capacity, *ttls):
            made = replace(made, denied_entries=words.number(capacity, line, 0, 10_000_000))
            return replace(made, longest_denied=words.number(ttls[0], line, 0, 86400)) if ttls else made
        case "disable", (("success" | "denial") as kind, *zones):
            disabled = tuple((kind, zone) for zone in (words.zones(tuple(zones), line) or (ROOT,)))
            return replace(made, disabled=(*made.disabled, *disabled))
        case "servfail", (text,):
            return replace(made, failures=min(300.0, words.duration(text, line)))
        case "serve_stale", (*duration, ("immediate" | "verify") as mode) if len(duration) < 2:
            return _stale(line, replace(made, stale_verified=mode == "verify"), duration)
        case "serve_stale", duration if len(duration) < 2:
            return _stale(line, replace(made, stale_verified=False), duration)
        case "prefetch", (amount, *rest):
            return _prefetch(line, replace(made, prefetch=words.number(amount, line, 0, 1_000_000)), rest)
        case name, arguments:
            raise wrong(line, f"{' '.join((name, *arguments))!r} is not supported in cache")


def _stale(line: Directive, made: Caching, duration: Sequence[str]) -> Caching:
    return replace(made, stale=words.duration(duration[0], line) if duration else 3600.0)


def _prefetch(line: Directive, made: Caching, rest: list[str]) -> Caching:
    if rest:
        made = replace(made, prefetch_within=words.duration(rest[0], line))
    if rest[1:]:
        made = replace(made, prefetch_percent=words.number(rest[1].removesuffix("%"), line, 10, 90))
    return made
