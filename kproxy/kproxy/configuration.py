"""kube-proxy's configuration file, KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1, and what it means here.

Flags are laid over the file and go through the same checks, so there is one place that says what is accepted. Fields
that mean nothing here (Windows, the API client's speed, feature gates) are accepted and do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from kapi.network import Address, Network
from kproxy.errors import Misconfigured
from kproxy.model import LocalTraffic
from kproxy.settings import LOCALHOST, PRIMARY, WORDS, Bind, Settings

Json = dict[str, Any]
T = TypeVar("T")

KIND = "KubeProxyConfiguration"
API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
AUTO = "auto"

_DURATION = re.compile(r"(\d+(?:\.\d*)?)(ms|us|µs|ns|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def _seconds(value: Any) -> float:
    """Read a duration of Go (`1h0m0s`), or seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    words = str(value).strip()
    parts = _DURATION.findall(words)
    if words != "0" and (not parts or "".join(number + unit for number, unit in parts) != words):
        raise ValueError("a duration looks like 30s or 1h0m0s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _list(value: Any) -> Any:
    """Take a list, or words joined by commas."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value if value is not None else []


def _network(word: str) -> str:
    try:
        ip_network(word, strict=False)
    except ValueError as error:
        raise ValueError("a network looks like 10.244.0.0/16 or fd44::/48") from error
    return word


def _place(word: str) -> str:
    if word in WORDS:
        return word
    try:
        return _network(word)
    except ValueError as error:
        raise ValueError(f"it takes {', '.join(WORDS)} and networks like 10.0.0.0/8") from error


def _networks(words: str) -> str:
    for word in _list(words):
        _network(word)
    return words


def _address(word: str) -> str:
    try:
        ip_address(word)
    except ValueError as error:
        raise ValueError("an address looks like 192.0.2.1 or ::") from error
    return word


def _bind(word: str) -> str:
    if word:
        bind(word, 1)
    return word


Seconds = Annotated[float, BeforeValidator(_seconds)]
Networks = Annotated[str, BeforeValidator(lambda value: "" if value is None else value), AfterValidator(_networks)]
Places = Annotated[list[Annotated[str, AfterValidator(_place)]], BeforeValidator(_list)]
CIDRs = Annotated[list[Annotated[str, AfterValidator(_network)]], BeforeValidator(_list)]
Listen = Annotated[str, AfterValidator(_bind)]
Bit = Annotated[int, Field(ge=0, le=31)]
Scheduler = Literal[  # of IPVS, as the kernel names them
    "", "rr", "wrr", "lc", "wlc", "sh", "dh", "sed", "nq", "mh", "lblc", "lblcr", "fo", "ovf", "twos"
]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Filter(_Part):
    """The part of one backend; fields that a backend does not have mean nothing to it."""

    masquerade_all: bool = False
    masquerade_bit: Bit | None = None
    localhost_node_ports: bool | None = None
    min_sync_period: Seconds = 0.0
    sync_period: Seconds = 30.0


class Ipvs(_Part):
    """The part of the backend ipvs."""

    scheduler: Scheduler = ""
    sync_period: Seconds = 30.0
    min_sync_period: Seconds = 0.0
    exclude_cidrs: CIDRs = Field(default=[], alias="excludeCIDRs")
    strict_arp: bool = Field(default=False, alias="strictARP")
    tcp_timeout: Seconds = 0.0
    tcp_fin_timeout: Seconds = 0.0
    udp_timeout: Seconds = 0.0


class Conntrack(_Part):
    """Sizes and timeouts of the connection tracker; None leaves the kernel's own."""

    max_per_core: int | None = Field(default=None, ge=0)
    min: int | None = Field(default=None, ge=0)
    tcp_established_timeout: Seconds | None = None
    tcp_close_wait_timeout: Seconds | None = None
    tcp_be_liberal: bool = False
    udp_timeout: Seconds | None = None
    udp_stream_timeout: Seconds | None = None


class DetectLocal(_Part):
    """By which interface pods are known."""

    bridge_interface: str = ""
    interface_name_prefix: str = ""


class ClientConnection(_Part):
    """How the API is reached; only the kubeconfig counts."""

    kubeconfig: str = ""
    accept_content_types: str = ""
    content_type: str = ""
    qps: float = 0
    burst: int = 0


class Configuration(_Part):
    """The whole file.

    https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/
    """

    api_version: Literal["kubeproxy.config.k8s.io/v1alpha1"] = "kubeproxy.config.k8s.io/v1alpha1"
    kind: Literal["KubeProxyConfiguration"] = "KubeProxyConfiguration"
    bind_address: Annotated[str, AfterValidator(_address)] = "0.0.0.0"
    bind_address_hard_fail: bool = False
    client_connection: ClientConnection = ClientConnection()
    cluster_cidr: Networks = Field(default="", alias="clusterCIDR")
    config_sync_period: Seconds = 0.0
    conntrack: Conntrack = Conntrack()
    detect_local: DetectLocal = DetectLocal()
    detect_local_mode: Literal["", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix"] = ""
    enable_profiling: bool = False
    feature_gates: dict[str, bool] = {}
    healthz_bind_address: Listen = "0.0.0.0:10256"
    hostname_override: str = ""
    iptables: Filter = Filter()
    ipvs: Ipvs = Ipvs()
    logging: Json = {}
    metrics_bind_address: Listen = "127.0.0.1:10249"
    mode: str = AUTO
    nftables: Filter = Filter()
    node_port_addresses: Places = []
    oom_score_adj: int | None = None
    port_range: str = ""
    show_hidden_metrics_for_version: str = ""
    windows_run_overlay: bool = False
    winkernel: Json = {}

    def settings(self, mode: str, node_addresses: tuple[Address, ...] = ()) -> Settings:
        """Say what it means for a mode; `node_addresses` are the host's own, for want of a Node object."""
        chosen = self.iptables if mode.startswith("iptables") else self.nftables
        return Settings(
            local_traffic=self._local_traffic(),
            node_port_addresses=self._node_port_addresses(localhost=bool(chosen.localhost_node_ports)),
            masquerade_all=self.nftables.masquerade_all or self.iptables.masquerade_all,
            masquerade_bit=14 if chosen.masquerade_bit is None else chosen.masquerade_bit,
            node_addresses=node_addresses,
            healthz=bind(self.healthz_bind_address, 10256) if self.healthz_bind_address else None,
            metrics=bind(self.metrics_bind_address, 10249) if self.metrics_bind_address else None,
            stuck_seconds=2 * (chosen.sync_period or 30.0),
        )

    def _node_port_addresses(self, *, localhost: bool) -> tuple[str, ...]:
        words = tuple(self.node_port_addresses) or (PRIMARY,)
        return (*words, LOCALHOST) if localhost and LOCALHOST not in words else words

    def _local_traffic(self) -> LocalTraffic:
        match self.detect_local_mode:
            case "BridgeInterface":
                return LocalTraffic(interface=self.detect_local.bridge_interface)
            case "InterfaceNamePrefix":
                return LocalTraffic(interface=f"{self.detect_local.interface_name_prefix}*")
            case "NodeCIDR":
                return LocalTraffic()
            case _:
                return LocalTraffic(networks=networks(self.cluster_cidr))


def networks(words: str) -> tuple[Network, ...]:
    """Read networks, joined by commas. Raises ValueError."""
    return tuple(ip_network(_network(word), strict=False) for word in _list(words))


def bind(word: str, port: int) -> Bind:
    """Read where a server listens: ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT. Raises ValueError."""
    host, colon, number = word.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, number = word, str(port)
    host = host.strip("[]") or "0.0.0.0"
    try:
        ip_address(host)
        listened = int(number)
    except ValueError as error:
        raise ValueError("a place to listen looks like 0.0.0.0:10256 or [::]:10256") from error
    if not 0 < listened < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    return host, listened


def load(given: Json, names: Mapping[tuple[str, ...], str], modes: tuple[str, ...]) -> Configuration:
    """Check a configuration. `names` are the names people know fields by, if not their own: flags.

    Raises Misconfigured, with one sentence that names the field and what is accepted.
    """
    try:
        made = Configuration.model_validate(given)
    except ValidationError as error:
        raise Misconfigured(_sentence(error, names)) from error
    if made.mode not in ("", AUTO, *modes):
        field = names.get(("mode",), "mode")
        raise Misconfigured(f"{field}: {made.mode!r} is not accepted: it takes {', '.join((AUTO, *modes))}")
    return made


def _sentence(error: ValidationError, names: Mapping[tuple[str, ...], str]) -> str:
    first = error.errors()[0]
    path = tuple(str(part) for part in first["loc"] if not isinstance(part, int))
    field = names.get(path, ".".join(path))
    if first["type"] == "extra_forbidden":
        return f"{field}: there is no such field; there are {', '.join(_fields(path[:-1]))}"
    why = first["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    return f"{field}: {first['input']!r} is not accepted: {why}"


def _fields(path: tuple[str, ...]) -> list[str]:
    """List the fields of the part at a path."""
    model: type[BaseModel] = Configuration
    for name in path:
        found = next(f for f in model.model_fields.values() if f.alias == name)
        if isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel):
            model = found.annotation
    return sorted(f.alias or name for name, f in model.model_fields.items())
