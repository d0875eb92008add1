"""Which Secret's certificate serves which host, as the `tls` sections of Ingresses say. Pure.

A `tls` entry without hosts is for the hosts of its Ingress' rules. Where two Ingresses name different Secrets for one
host, the older Ingress wins, as with paths. The certificate follows the name in the handshake (SNI) alone; which rule
applies follows the Host of each request.
"""

from __future__ import annotations

from collections.abc import Iterator

from kapi.network import Problem
from kingress.objects import Ingress

_Claim = tuple[tuple[str, str], str, str, str]  # seniority, key of the Ingress, key of the Secret, field


def secrets_of(ingress: Ingress) -> frozenset[str]:
    """Give the keys of the Secrets that an Ingress' `tls` section names."""
    return frozenset(secret for _, secret, _ in _named(ingress))


class SniTable:
    """The hosts that have a certificate, kept current as Ingresses come, change and go."""

    def __init__(self) -> None:
        self.hosts: dict[str, str] = {}  # host, perhaps with `*.` first -> `namespace/name` of its Secret
        self._claims: dict[str, list[_Claim]] = {}  # by host
        self._ingresses: dict[str, Ingress] = {}

    def put(self, ingress: Ingress) -> None:
        """Take in a new or changed Ingress."""
        self.remove(ingress.key)
        self._ingresses[ingress.key] = ingress
        for host, secret, field in _named(ingress):
            claim = (ingress.seniority, ingress.key, secret, field)
            self._claims.setdefault(host, []).append(claim)
            self.hosts[host] = min(self._claims[host])[2]

    def remove(self, key: str) -> None:
        """Forget an Ingress."""
        old = self._ingresses.pop(key, None)
        for host in {host for host, _, _ in _named(old)} if old else ():
            left = self._claims[host] = [claim for claim in self._claims[host] if claim[1] != key]
            if left:
                self.hosts[host] = min(left)[2]
            else:
                del self._claims[host], self.hosts[host]

    def secret(self, server_name: str) -> str:
        """Give the Secret for the name that a client asks for; "" where there is none."""
        return self.hosts.get(self._entry(server_name), "")

    def claimed(self, server_name: str) -> str:
        """Say which Ingress wants a certificate for a name that has a Secret, and where it says so."""
        _, ingress, _, field = min(self._claims[self._entry(server_name)])
        return f"Ingress {ingress} {field}"

    def _entry(self, server_name: str) -> str:
        """Give the name itself where it has a certificate, else the wildcard that may have one."""
        name = server_name.lower().removesuffix(".")
        return name if name in self.hosts else "*." + name.partition(".")[2]

    def problems(self, key: str) -> Iterator[Problem]:
        """Give where an Ingress lost a host to another."""
        ingress = self._ingresses.get(key)
        for host, secret, field in _named(ingress) if ingress else ():
            if self.hosts.get(host) != secret:
                winner = min(self._claims[host])[1]
                yield Problem(field, f"{host or 'every host'} has the certificate of Ingress {winner}, which is older")


def _named(ingress: Ingress) -> Iterator[tuple[str, str, str]]:
    """Give host, key of the Secret, and field for each host of the `tls` section."""
    for index, entry in enumerate(ingress.tls):
        if entry.secret:
            for host in entry.hosts or tuple(rule.host for rule in ingress.rules if rule.host):
                yield host, f"{ingress.namespace}/{entry.secret}", f"spec.tls[{index}]"
