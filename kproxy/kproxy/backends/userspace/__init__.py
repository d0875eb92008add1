"""The userspace backend: no packet filter at all; connections are taken and carried on to an endpoint.

`choose` decides (pure), `tcp` and `udp` forward, `backend` listens. `docs/reference/userspace.md` says what a forwarder
can and cannot do.
"""
