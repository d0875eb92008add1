"""What each directive of a server block means for its settings. Pure.

`DIRECTIVES` has one function per directive. It changes a draft; what it does not support it names, with the line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from kapi.network import Address
from kdns.corefile import words
from kdns.corefile.forwarding import cache, forward
from kdns.corefile.parse import Directive
from kdns.corefile.rewriting import rewrite
from kdns.corefile.words import wrong
from kdns.settings import Access, Hosts, Settings

_HEALTH, _READY, _METRICS = ":8080", ":8181", "localhost:9153"
_LOG_CLASSES = ("all", "success", "denial", "error")


@dataclass
class Draft:
    """What a server block's directives have said so far."""

    settings: Settings
    zones: tuple[str, ...]
    bind: list[Address] = field(default_factory=list)
    access: Access | None = None
    health: list[tuple[Address, int]] = field(default_factory=list)
    metrics: list[tuple[Address, int]] = field(default_factory=list)
    lameduck: float = 0.0
    reload: float = 0.0
    workers: int = 1
    certificate: tuple[str, str] = ("", "")

    def set(self, **changes: object) -> None:
        """Change some of the settings."""
        self.settings = replace(self.settings, **changes)  # type: ignore[arg-type]  # names and types are checked by tests


def apply(directive: Directive, draft: Draft) -> None:
    """Do what a directive says. Raises `SettingInvalid` for one that is not known, or says what it may not."""
    known = DIRECTIVES.get(directive.name)
    if known is None:
        raise wrong(directive, f"this plug-in is not supported; supported are {', '.join(sorted(DIRECTIVES))}")
    known(directive, draft)


def kubernetes(directive: Directive, draft: Draft) -> None:
    """Serve a cluster's names: the forward zone among the zones is the cluster's, the others are reverse zones."""
    zones = words.zones(directive.arguments, directive) or draft.zones
    forward_zones = [zone for zone in zones if not zone.endswith("arpa")]
    if len(forward_zones) != 1:
        raise wrong(directive, "one zone that is no reverse zone is needed, such as cluster.local")
    draft.set(cluster=True, zone=forward_zones[0], pods="disabled")
    draft.access = draft.access or Access()
    passed = [zone for zone in zones if zone.endswith("arpa")]
    for line in directive.block:
        if line.name == "fallthrough":
            through = words.zones(line.arguments, line) or zones
            passed = [zone for zone in passed if zone not in through]
            reverse = tuple(zone for zone in zones if zone.endswith("arpa") and zone in through)
            draft.set(fallthrough=forward_zones[0] in through, passed=reverse)
        else:
            _kubernetes_line(line, draft)
    written = [text for text in directive.arguments if "/" in text and words.zones((text,), directive)[0] in passed]
    whole = {"in-addr.arpa": "0.0.0.0/0", "ip6.arpa": "::/0"}
    networks = [*written, *(whole[zone] for zone in passed if zone in whole)]
    draft.set(reverse=tuple(ip_network(text, strict=False) for text in networks))


def _kubernetes_line(line: Directive, draft: Draft) -> None:
    access = draft.access or Access()
    match line.name, line.arguments:
        case "pods", (("disabled" | "insecure" | "verified") as mode,):
            draft.set(pods=mode)
        case "ttl", (text,):
            draft.set(ttl=words.number(text, line, 0, 3600))
        case "endpoint", (url,):
            draft.access = replace(access, server=url)
        case "kubeconfig", (file, *context):
            draft.access = replace(access, kubeconfig=file, context="".join(context[:1]))
        case "endpoint_pod_names", ():
            draft.set(pod_names=True)
        case "ignore", ("empty_service",):
            draft.set(empty_services=False)
        case "namespaces", names if names:
            draft.set(namespaces=tuple(names))
        case (("startup_timeout" | "apiserver_qps" | "apiserver_burst" | "apiserver_max_inflight"), (_,)):
            pass  # queries are answered from the first moment on, SERVFAIL until all is known
        case name, arguments:
            raise wrong(line, f"{' '.join((name, *arguments))!r} is not supported in kubernetes")


def hosts(directive: Directive, draft: Draft) -> None:
    """Serve the names of a file such as /etc/hosts."""
    file, zones = directive.arguments[:1], directive.arguments[1:]
    made = Hosts(file=file[0] if file else "/etc/hosts" if not directive.block else "", zones=draft.zones)
    if zones:
        made = replace(made, zones=words.zones(zones, directive))
    for line in directive.block:
        match line.name, line.arguments:
            case "ttl", (text,):
                made = replace(made, ttl=words.number(text, line, 1, 65535))
            case "no_reverse", ():
                made = replace(made, reverse=False)
            case "reload", (text,):
                made = replace(made, reload=words.duration(text, line))
            case "fallthrough", _:
                made = replace(made, fallthrough=True)
            case text, names if names:
                given = (words.address(text, line), words.zones(names, line))
                made = replace(made, entries=(*made.entries, given))
            case name, _:
                raise wrong(line, f"{name!r} is not supported in hosts")
    draft.set(hosts=(*draft.settings.hosts, made))


def transfer(directive: Directive, draft: Draft) -> None:
    """Give whole zones to those listed."""
    peers: list[str] = []
    for line in directive.block:
        if line.name != "to" or not line.arguments:
            raise wrong(line, "only `to ADDRESS...` is supported in transfer")
        peers += [text if text == "*" else str(words.address(text, line)) for text in line.arguments]
    draft.set(transfer_to=tuple(peers))


def autopath(directive: Directive, draft: Draft) -> None:
    """Walk pods' search paths on the server."""
    if directive.arguments[-1:] != ("@kubernetes",):
        raise wrong(directive, "only `autopath @kubernetes` is supported")
    draft.set(autopath=())


def bind(directive: Directive, draft: Draft) -> None:
    """Listen on some addresses only."""
    if directive.block:
        raise wrong(directive, "a block is not supported; list the addresses to listen on")
    draft.bind += [words.address(text, directive) for text in directive.arguments]


def health(directive: Directive, draft: Draft) -> None:
    """Tell whether the process lives."""
    draft.health += words.places(words.first(directive, _HEALTH), directive)
    for line in directive.block:
        if line.name != "lameduck":
            raise wrong(line, "only `lameduck DURATION` is supported in health")
        draft.lameduck = words.duration(words.only(line)[0], line)


def ready(directive: Directive, draft: Draft) -> None:
    """Tell whether everything is known."""
    draft.health += words.places(words.first(directive, _READY), directive)


def prometheus(directive: Directive, draft: Draft) -> None:
    """Tell numbers."""
    draft.metrics += words.places(words.first(directive, _METRICS), directive)


def log(directive: Directive, draft: Draft) -> None:
    """Log queries; the format is that of CoreDNS' common log, or `json`."""
    style = directive.arguments[-1:]
    draft.set(log="json" if style == ("json",) else "text")
    for line in directive.block:
        if line.name != "class" or set(line.arguments) - {"all"}:
            raise wrong(line, "only `class all` is supported in log")


def reload(directive: Directive, draft: Draft) -> None:
    """Look at the file every now and then, every 30 s unless said otherwise."""
    draft.reload = words.duration(directive.arguments[0], directive) if directive.arguments else 30.0
    if draft.reload < 1:
        raise wrong(directive, "the interval is 1 s or more")


def tls(directive: Directive, draft: Draft) -> None:
    """Use this certificate for tls:// and https://."""
    if len(directive.arguments) != 2 or directive.block:
        raise wrong(directive, "it takes the file of a certificate and the file of its key")
    draft.certificate = directive.arguments[0], directive.arguments[1]


def multisocket(directive: Directive, draft: Draft) -> None:
    """Share the work among processes."""
    draft.workers = words.number(directive.arguments[0], directive, 1, 1024) if directive.arguments else 0


def nsid(directive: Directive, draft: Draft) -> None:
    """Tell a name of this server to those who ask (RFC 5001)."""
    draft.set(nsid=" ".join(directive.arguments) or "localhost")


def bufsize(directive: Directive, draft: Draft) -> None:
    """Bound replies over UDP."""
    draft.set(payload=words.number(words.first(directive, "1232"), directive, 512, 4096))


def loop(directive: Directive, draft: Draft) -> None:
    """Find out whether upstreams lead back here."""
    words.only(directive, 0)
    draft.set(loop=True)


def loadbalance(directive: Directive, draft: Draft) -> None:  # noqa: ARG001  # the signature of all directives
    """Addresses take turns without being asked to."""
    if directive.arguments not in {(), ("round_robin",)} or directive.block:
        raise wrong(directive, "only round_robin is supported")


def nothing(directive: Directive, draft: Draft) -> None:
    """Accept what is so in any case: errors are always logged."""


Apply = Callable[[Directive, Draft], None]
DIRECTIVES: dict[str, Apply] = {
    "autopath": autopath,
    "bind": bind,
    "bufsize": bufsize,
    "cache": lambda directive, draft: draft.set(cache=cache(directive)),
    "debug": nothing,
    "errors": nothing,
    "forward": lambda directive, draft: draft.set(forwards=(*draft.settings.forwards, forward(directive))),
    "health": health,
    "hosts": hosts,
    "kubernetes": kubernetes,
    "loadbalance": loadbalance,
    "log": log,
    "loop": loop,
    "multisocket": multisocket,
    "nsid": nsid,
    "prometheus": prometheus,
    "ready": ready,
    "reload": reload,
    "rewrite": lambda directive, draft: draft.set(rewrites=(*draft.settings.rewrites, rewrite(directive))),
    "tls": tls,
    "transfer": transfer,
}
