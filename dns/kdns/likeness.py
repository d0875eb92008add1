"""Where CoreDNS answers otherwise than an RFC or the specification asks: one setting has all of it. Pure.

Each trait is decided in one place, which reads it here; docs/decisions/0012 says why each is not what everybody gets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a server says where CoreDNS and the RFCs differ; the defaults are the RFCs'."""

    denies_empty_names: bool = False  # names that only have names below them exist: RFC 8020 section 2
    has_soa_everywhere: bool = False  # what does not exist has no SOA either: RFC 2308 section 2.1
    any_port: bool = False  # a port without a name has no SRV name: the specification, 2.3.2; CoreDNS takes `_` for any
    aliases_are_addresses: bool = False  # an alias has its CNAME for every type, and its target's code: RFC 1034, 6604
    servers_by_address: bool = False  # each zone has name servers, and no record twice: RFC 1034 4.2.1, RFC 2181 5
    lost_glue_is_truncation: bool = False  # TC says that what was asked for is not whole: RFC 2181 section 9
    case_matters: bool = False  # names are the same in any letter case: RFC 4343; CoreDNS' own name server is not
    below_addresses: bool = False  # the name of an IPv6 address has 32 labels: RFC 3596 section 2.5; CoreDNS skips more
    names_orphans: bool = False  # what a PTR record leads to exists: RFC 1912 section 2.1; CoreDNS looks at no Service
    owns_passed: bool = False  # a zone is whose its names are: RFC 1034 section 4.2; CoreDNS has its apex
    fails_unserved: bool = False  # what nothing here serves is refused: RFC 1035 section 4.1.1; CoreDNS fails
    payload: int = 1232  # octets of a reply over UDP, so that none is fragmented: RFC 9715 section 3.1


STANDARD = Likeness()
COREDNS = Likeness(
    denies_empty_names=True,
    has_soa_everywhere=True,
    any_port=True,
    aliases_are_addresses=True,
    servers_by_address=True,
    lost_glue_is_truncation=True,
    case_matters=True,
    below_addresses=True,
    names_orphans=True,
    owns_passed=True,
    fails_unserved=True,
    payload=65_507,  # whatever the client and a datagram can take
)
BY_NAME = {"standard": STANDARD, "like-coredns": COREDNS}
