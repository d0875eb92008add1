"""The nftables backend: a ruleset that never changes, and Services as elements of its maps.

`compile` turns one Service into elements, `changes` compares them with what is in place and writes netlink messages,
`kernel` sends these as one transaction. `docs/reference/nftables.md` shows the rules.
"""
