"""The iptables backend: the chains that people know from kube-proxy, in the legacy and the nft flavour of iptables.

`layout` has the chains that are always there, `compile` writes one Service's, `changes` compares and writes what
`iptables-restore` reads, `backend` puts it together. `docs/reference/iptables.md` walks through the rules.
"""
