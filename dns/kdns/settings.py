"""What is served and how: values that flags or a Corefile give, and plug-ins read. Pure.

A `Configuration` has blocks; a block serves some zones at some places with one chain of plug-ins, which reads the
block's `Settings`. Names are text in lower case without the final dot; the root is the empty text. Times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from kapi.network import Address, Network
from kdns.likeness import STANDARD, Likeness

ROOT = ""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server that may be asked; with `tls_name`, over TLS (RFC 7858) and only if its certificate is for that name."""

    address: str
    port: int = 53
    tls_name: str = ""

    def __str__(self) -> str:
        where = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
        return f"tls://{where}" if self.tls_name else where


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Who is asked for the names of a zone that are nobody's here. `files` are followed as they change."""

    zone: str = ROOT
    upstreams: tuple[Upstream, ...] = ()
    files: tuple[str, ...] = ()  # resolv.conf(5)
    never: tuple[tuple[Address, int], ...] = ()  # this server's own places: what a file says of them is skipped
    policy: str = "sequential"  # or "random", "round_robin": which upstream is asked first
    excepted: tuple[str, ...] = ()  # zones below that are not asked for
    most: int = 1000  # questions out at a time; beyond, they are refused
    tcp: bool = False  # ask over TCP from the start
    max_fails: int = 1  # failures in a row after which an upstream is asked only after the others; 0: never
    failover: tuple[int, ...] = (2, 4, 5)  # response codes at which the next upstream is asked
    probe: float = 0.5  # how often an upstream that failed is asked whether it is back


@dataclass(frozen=True, slots=True)
class Caching:
    """What is remembered of forwarded answers. `stale` is for how long after its end an answer still helps out."""

    entries: int = 10_000  # of each kind; 0 for none
    denied_entries: int = 10_000
    longest: int = 3600
    longest_denied: int = 1800
    shortest: int = 0
    failures: float = 5.0  # for how long SERVFAIL is remembered
    disabled: tuple[tuple[str, str], ...] = ()  # ("success" or "denial", zone): what is not remembered
    stale: float = 0.0
    stale_verified: bool = True  # upstreams are asked first, and what has ended is told only where none answers
    prefetch: int = 0  # questions for one name within `prefetch_within` that make it worth asking again early; 0: none
    prefetch_within: float = 60.0
    prefetch_percent: int = 10  # of its time that an answer has left when it is asked again


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names in the manner of hosts(5), from a file that is followed and from entries given here."""

    file: str = ""
    entries: tuple[tuple[Address, tuple[str, ...]], ...] = ()
    zones: tuple[str, ...] = (ROOT,)
    ttl: int = 3600
    reload: float = 5.0  # how often the file is looked at; 0: once
    fallthrough: bool = False  # names that are not here are asked for below, not denied
    reverse: bool = True  # PTR records are made, too


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One rule: questions that fit are asked in another form, and answers told in the form of the question."""

    field: str  # "name", "type" or "ttl"
    match: str  # for names: "exact", "prefix", "suffix", "substring" or "regex"
    pattern: str
    to: str
    stop: bool = True  # later rules are not looked at
    answers: tuple[tuple[str, str, str], ...] = ()  # ("name" or "value", regular expression, replacement)


@dataclass(frozen=True, slots=True)
class Settings:
    """What one chain serves. `ttl` is that of the cluster's records."""

    cluster: bool = True  # the cluster's names, where there is a cluster
    zone: str = "cluster.local"
    ttl: int = 5
    pods: str = "insecure"  # or "verified", "disabled"
    answers: Likeness = STANDARD  # where CoreDNS and the RFCs differ
    pod_names: bool = False  # endpoints without a hostname are called after their pods, not their addresses
    empty_services: bool = True  # a Service without ready endpoints still has its names
    namespaces: tuple[str, ...] = ()  # the only ones whose Services have names; none: all
    fallthrough: bool = False  # what the cluster has not is asked for elsewhere, not denied
    reverse: tuple[Network, ...] = ()
    passed: tuple[str, ...] = ()  # reverse zones whose names are asked for elsewhere where the cluster has them not
    transfer_to: tuple[str, ...] = ()  # addresses that may have whole zones; "*" is everybody
    autopath: tuple[str, ...] | None = None  # the search domains of nodes, for pods' search paths walked here
    records: tuple[tuple[str, Address], ...] = ()
    hosts: tuple[Hosts, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    forwards: tuple[Forwarding, ...] = ()
    cache: Caching | None = Caching()
    loop: bool = False  # find out at the start whether upstreams lead back here
    addresses: tuple[Address, ...] = ()  # this server's own: they name the Services it belongs to in NS records
    timeout: float = 2.0  # that one upstream may take
    log: str | None = None  # how queries are logged: "text" or "json"
    nsid: str = ""  # what this server calls itself to those who ask (RFC 5001)
    payload: int = 0  # octets of a reply over UDP to a client with EDNS; 0: as many as `answers` says
    own: tuple[str, ...] = ()  # modules of plug-ins of one's own, before all others


@dataclass(frozen=True, slots=True)
class Listen:
    """Where queries come in, and how: "dns" (UDP and TCP), "tls" (RFC 7858) or "https" (RFC 8484)."""

    address: Address
    port: int
    scheme: str = "dns"
    certificate: str = ""
    key: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{'' if self.scheme == 'dns' else self.scheme + '://'}{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Block:
    """Some zones, where they are served, and by what; the longest zone that holds a name decides."""

    settings: Settings
    listen: tuple[Listen, ...]
    zones: tuple[str, ...] = (ROOT,)


@dataclass(frozen=True, slots=True)
class Access:
    """How the cluster's API is reached; nothing given means as kubectl does, or as a pod does."""

    server: str = ""
    kubeconfig: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """All that a server does."""

    blocks: tuple[Block, ...]
    access: Access | None = None
    health: tuple[tuple[Address, int], ...] = ()  # HTTP: /health, /ready
    metrics: tuple[tuple[Address, int], ...] = ()  # HTTP: /metrics
    lameduck: float = 0.0
    reload: float = 0.0  # how often the files are looked at; 0: never
    files: tuple[str, ...] = ()
    version: str = ""  # a hash of what the files say
    workers: int = 1
    node_local: tuple[Address, ...] = ()  # this node is given these addresses, and tracks no packets of theirs
    limit: float = 0.0  # replies a second over UDP for each client network; 0: no limit


EVERYWHERE: tuple[Address, Address] = (ip_address("0.0.0.0"), ip_address("::"))
