"""How endpoints that speak TLS are believed: any certificate, or those that a Secret's `ca.crt` signs."""

from __future__ import annotations

import ssl

from kingress.policy import Conduct
from kingress.secrets import Secrets


class BadAuthority(ValueError):
    """A CA that endpoints should be verified with cannot be used; the message says why."""


def client_context(conduct: Conduct, secrets: Secrets) -> ssl.SSLContext:
    """Give the context for connections to endpoints. Raises BadAuthority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not conduct.authority:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # as ingress-nginx: pods rarely have a certificate that anyone signed
        return context
    pem = (secrets.get(conduct.authority) or {}).get("ca.crt")
    if not pem:
        raise BadAuthority(f"Secret {conduct.authority} does not exist, or has no ca.crt.")
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise BadAuthority(f"The ca.crt of Secret {conduct.authority} cannot be read: {error}.") from None
    return context
