"""The text of a pod's own /etc/resolv.conf and /etc/hosts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from netnslab.kubelet.podspec import PodSpec

_MOST_NAMESERVERS = 3  # resolv.conf(5), MAXNS


def resolv_conf(pod: PodSpec, dns_address: str, zone: str, host_text: str) -> str:
    """The resolver's configuration by `dnsPolicy` and `dnsConfig` of the pod.

    `dns_address` is the cluster's DNS Service; `host_text` is the host's own file, for the policy `Default`. In a lab
    it is of no use inside a pod, which cannot reach the host's resolver, but it is what was asked for.
    """
    servers, searches, options = _from_policy(pod, dns_address, zone, host_text)
    config = pod.dns_config
    servers += [server for server in config.get("nameservers") or () if server not in servers]
    searches += [search for search in config.get("searches") or () if search not in searches]
    for option in config.get("options") or ():
        options = [known for known in options if known.partition(":")[0] != option["name"]]
        options.append(f"{option['name']}:{option['value']}" if option.get("value") else option["name"])
    lines = [f"nameserver {server}" for server in servers[:_MOST_NAMESERVERS]]
    if searches:
        lines.append("search " + " ".join(searches))
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join([*lines, ""])


def hosts(pod: PodSpec, addresses: Sequence[str], zone: str) -> str:
    """The pod's own name and addresses, its host aliases, and localhost."""
    name = (
        f"{pod.hostname}.{pod.subdomain}.{pod.namespace}.svc.{zone}\t{pod.hostname}" if pod.subdomain else pod.hostname
    )
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{address}\t{name}" for address in addresses]
    lines += [f"{address}\t{' '.join(names)}" for address, names in pod.host_aliases]
    return "\n".join([*lines, ""])


def _from_policy(pod: PodSpec, dns_address: str, zone: str, host_text: str) -> tuple[list[str], list[str], list[str]]:
    if pod.dns_policy == "None":
        return [], [], []
    if pod.dns_policy == "Default" or (pod.dns_policy == "ClusterFirst" and pod.host_network):
        return _parsed(host_text)
    searches = [f"{pod.namespace}.svc.{zone}", f"svc.{zone}", zone]
    return [dns_address], searches, ["ndots:5"]


def _parsed(text: str) -> tuple[list[str], list[str], list[str]]:
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", server, *_]:
                servers.append(server)
            case ["search" | "domain", *names]:
                searches = list(names)
            case ["options", *names]:
                options += names
    return servers, searches, options
