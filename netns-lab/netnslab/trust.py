"""By what pods and nodes know the API, and show who they are: its certificate, and kubeconfigs for both.

The API is served to them over TLS, to the host in the clear: there the kernel says who is calling.
"""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass, field

from kapi import kubeconfig
from kapi.cli import SERVICE_NAMES
from kapi.kubeconfig import SERVICE_ACCOUNT, Access
from kapi.server.certificates import ADMINISTRATORS, Authority, CertificateError
from kapi.server.identity import Identity
from netnslab import system
from netnslab.errors import Unsupported
from netnslab.state import LabFolder
from netnslab.topology import Topology

_NODES = Identity("kubernetes-admin", (ADMINISTRATORS, "system:authenticated"))


@dataclass(frozen=True, slots=True)
class Trust:
    """The TLS settings of the API server, the certificate that it is known by (PEM), and the token of the nodes."""

    tls: ssl.SSLContext
    root: str
    node_token: str = field(default_factory=secrets.token_hex, repr=False)

    @property
    def tokens(self) -> dict[str, Identity]:
        """The tokens that the API server is to know."""
        return {self.node_token: _NODES}


def make(folder: LabFolder, topology: Topology) -> Trust:
    """Make the certificates of a lab. Takes as long as `openssl` runs twice. Raises Unsupported without it."""
    authority = Authority(folder.certificates)
    addresses = (system.API_ADDRESS, *topology.control_plane.addresses.both)
    try:
        tls = authority.tls(authority.server(SERVICE_NAMES, addresses))
        return Trust(tls, authority.root.certificate.read_text())
    except CertificateError as error:
        raise Unsupported(str(error)) from error


def write_kubeconfigs(trust: Trust, folder: LabFolder, topology: Topology) -> None:
    """Write what programs in pods and on nodes find the API by."""
    ca = trust.root.encode()
    node = Access(f"https://{topology.control_plane.addresses.v4}:{system.API_PORT}", ca=ca, token=trust.node_token)
    kubeconfig.write(folder.node_kubeconfig, node, "node")
    pod = Access(f"https://{system.API_ADDRESS}", ca=ca, token_file=SERVICE_ACCOUNT / "token")
    kubeconfig.write(folder.pod_kubeconfig, pod, "pod")
