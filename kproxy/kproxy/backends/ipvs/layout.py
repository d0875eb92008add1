"""The iptables rules beside IPVS, which never change, and the ipsets they look into. Pure.

IPVS takes packets at the input hook, for addresses that the host has been given (device `kube-ipvs0`), and from the
node itself at the output hook. Before that, these rules guard, refuse, and mark connections for masquerading; a mark of
the packet (`LOCAL_MARKS`) leads clients from outside to the virtual servers of `externalTrafficPolicy: Local`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kproxy.backends.iptables.layout import pods
from kproxy.model import NodeDuties
from kproxy.rules.model import (
    ArrivedOn,
    Chain,
    ConnectionMarked,
    Destination,
    Drop,
    Hook,
    In,
    Jump,
    Key,
    MarkBy,
    MarkConnection,
    Masquerade,
    NewConnection,
    OwnAddress,
    Reject,
    Return,
    Rule,
    Service,
    Set,
    Source,
    Within,
)

DEVICE = "kube-ipvs0"
PLACE: Key = (Destination(), Service())
CLIENT: Key = (*PLACE, Source())
MARK: Key = (Service(),)  # four bytes

CLUSTER_IP = "KUBE-CLUSTER-IP"  # clusterIPs and their ports
EXTERNAL = "KUBE-EXTERNAL"  # other places: everyone is masqueraded
EXTERNAL_LOCAL = "KUBE-EXTERNAL-LOCAL"  # other places with externalTrafficPolicy Local
SERVED = (CLUSTER_IP, EXTERNAL, EXTERNAL_LOCAL)  # every virtual server by address has its place in one of them
LOCAL_MARKS = "KUBE-LOCAL-MARKS"  # the marks of their virtual servers for outsiders
NO_LOCAL = "KUBE-NO-LOCAL"  # those of them without a local endpoint, which drop outsiders
NO_LOCAL_REJECT = "KUBE-NO-LOCAL-REJECT"  # the same, which refuse them
FIREWALLED, ALLOWED = "KUBE-FIREWALLED", "KUBE-ALLOWED"
REJECT, DROP = "KUBE-REJECT", "KUBE-DROP"
ADDRESSES = "KUBE-ADDRESSES"  # clusterIPs
LOOP_BACK = "KUBE-LOOP-BACK"  # endpoints that may reach themselves
SHARED = frozenset({ADDRESSES, LOOP_BACK})  # sets whose elements several Services may owe

PREPARE = "mangle/KUBE-IPVS-PREPARE"
OUTSIDERS = "mangle/KUBE-IPVS-OUTSIDERS"
STRANGERS = "mangle/KUBE-IPVS-STRANGERS"
REFUSE = "filter/KUBE-IPVS-REFUSE"
REFUSE_OUTSIDERS = "filter/KUBE-IPVS-REFUSE-OUTSIDE"
UNALLOCATED = "filter/KUBE-IPVS-UNALLOCATED"
POSTROUTING = "nat/KUBE-IPVS-POSTROUTING"
VIRTUAL_SERVERS = "ipvs/virtual-servers"
TABLES = ("mangle", "filter", "nat")


def is_ours(name: str) -> bool:
    """Tell whether a chain (`table/chain`) is of this layout."""
    return name.partition("/")[2].startswith("KUBE-IPVS-")


def sets() -> dict[str, Set]:
    """Declare every set."""
    places = (CLUSTER_IP, EXTERNAL, EXTERNAL_LOCAL, NO_LOCAL, NO_LOCAL_REJECT, FIREWALLED, REJECT, DROP)
    declared = [
        *(Set(name, PLACE) for name in places),
        Set(LOCAL_MARKS, PLACE, MARK),
        Set(ALLOWED, CLIENT, interval=True),
        Set(LOOP_BACK, CLIENT),
        Set(ADDRESSES, (Destination(),)),
    ]
    return {s.name: s for s in declared}


def kernel_name(name: str, family: int) -> str:
    """Name a set for the kernel, where sets of both families share one room."""
    return name if family == 4 else name.replace("KUBE-", "KUBE-6-")


def foundation(node: NodeDuties, family: int) -> dict[str, Chain]:
    """Write the chains, the kernel's own with the jumps from them included."""
    everyone = (
        *_hooks(),
        Chain(PREPARE, tuple(_prepare(node, family))),
        Chain(STRANGERS, tuple(_strangers(node, family))),
        Chain(OUTSIDERS, tuple(_outsiders(node, family))),
        Chain(REFUSE, tuple(_refuse(family))),
        Chain(REFUSE_OUTSIDERS, tuple(_refuse_outsiders(node, family))),
        Chain(UNALLOCATED, tuple(_unallocated(node, family))),
        Chain(POSTROUTING, tuple(_postrouting(node, family))),
    )
    return {chain.name: chain for chain in everyone}


def _hooks() -> Iterator[Chain]:
    prepare, refuse = Rule((NewConnection(), Jump(PREPARE))), Rule((NewConnection(), Jump(REFUSE)))
    unallocated = Rule((NewConnection(), Jump(UNALLOCATED)))
    yield Chain("mangle/PREROUTING", (prepare,), Hook("filter", "prerouting", -150))
    yield Chain("mangle/OUTPUT", (prepare,), Hook("filter", "output", -150))
    yield Chain("filter/INPUT", (refuse,), Hook("filter", "input", 0))
    yield Chain("filter/FORWARD", (unallocated,), Hook("filter", "forward", 0))
    yield Chain("filter/OUTPUT", (refuse, unallocated), Hook("filter", "output", 0))
    yield Chain("nat/POSTROUTING", (Rule((Jump(POSTROUTING),)),), Hook("nat", "postrouting", 100))


def virtual_server_chains(rules: tuple[Rule, ...]) -> Iterator[Chain]:
    """Say where IPVS looks at packets: behind the filters for those that arrive, before them for the node's own."""
    yield Chain(VIRTUAL_SERVERS, rules)
    yield Chain("ipvs/input", (Rule((Jump(VIRTUAL_SERVERS),)),), Hook("ipvs", "input", 98))
    yield Chain("ipvs/output", (Rule((Jump(VIRTUAL_SERVERS),)),), Hook("ipvs", "output", -99))


def _in(name: str, key: Key, family: int, *, negated: bool = False) -> In:
    return In(key, kernel_name(name, family), negated)


def _prepare(node: NodeDuties, family: int) -> Iterator[Rule]:
    stranger = _in(ALLOWED, CLIENT, family, negated=True)
    yield Rule((_in(FIREWALLED, PLACE, family), stranger, Drop()), "loadBalancerSourceRanges")
    yield Rule((_in(CLUSTER_IP, PLACE, family), Jump(STRANGERS)), "clusterIPs")
    yield Rule((_in(EXTERNAL, PLACE, family), MarkConnection(node.masquerade_mark)), "external addresses, NodePorts")
    yield Rule((_in(EXTERNAL_LOCAL, PLACE, family), Jump(OUTSIDERS)), "externalTrafficPolicy Local")


def _pods_return(node: NodeDuties, family: int) -> Iterator[Rule]:
    if node.local_traffic.interface:
        yield Rule((ArrivedOn(node.local_traffic.interface), Return()), "pods")
        return
    for network in pods(node, family):
        yield Rule((Within(Source(), network), Return()), "pods")


def _strangers(node: NodeDuties, family: int) -> Iterator[Rule]:
    """Mark the connections of all but pods."""
    known = node.local_traffic.networks or node.local_traffic.interface
    if not node.masquerade_all:
        yield from _pods_return(node, family)
    mark = MarkConnection(node.masquerade_mark)
    if known or node.masquerade_all:
        yield Rule((mark,))
    else:  # the source may be the clusterIP itself, as the host has it: no answer would come back
        yield Rule((OwnAddress(Source()), mark), "this node")


def _outsiders(node: NodeDuties, family: int) -> Iterator[Rule]:
    """Pods and this node may use any endpoint; others are led to the local ones, or dropped where there are none."""
    yield from _pods_return(node, family)
    yield Rule((OwnAddress(Source()), MarkConnection(node.masquerade_mark)), "this node, masqueraded")
    yield Rule((OwnAddress(Source()), Return()))
    yield Rule((_in(NO_LOCAL, PLACE, family), Drop()), "no local endpoint")
    yield Rule((MarkBy(PLACE, kernel_name(LOCAL_MARKS, family)),), "others: local only")


def _refuse(family: int) -> Iterator[Rule]:
    yield Rule((_in(NO_LOCAL_REJECT, PLACE, family), Jump(REFUSE_OUTSIDERS)), "no local endpoints")
    yield Rule((_in(REJECT, PLACE, family), Reject()), "no endpoints")
    yield Rule((_in(DROP, PLACE, family), Drop()), "no local endpoints")
    yield Rule((_in(CLUSTER_IP, PLACE, family), Return()))
    yield Rule((_in(ADDRESSES, (Destination(),), family), Reject()), "a port the Service does not have")


def _refuse_outsiders(node: NodeDuties, family: int) -> Iterator[Rule]:
    yield from _pods_return(node, family)
    yield Rule((OwnAddress(Source()), Return()), "this node")
    yield Rule((Reject(),))


def _unallocated(node: NodeDuties, family: int) -> Iterator[Rule]:
    for network in node.service_cidrs:
        if network.version == family:
            yield Rule((Within(Destination(), network), Drop()), "an address no Service has")


def _postrouting(node: NodeDuties, family: int) -> Iterator[Rule]:
    yield Rule((ConnectionMarked(node.masquerade_mark), Masquerade()), "kubernetes service traffic requiring SNAT")
    yield Rule((_in(LOOP_BACK, CLIENT, family), Masquerade()), "a pod that reaches itself")
