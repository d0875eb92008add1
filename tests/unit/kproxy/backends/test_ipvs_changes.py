"""Services that ask for one virtual server: whatever changes, what is in place is what all of them come to."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.network import Protocol, Reference
from kproxy.backends.ipvs import changes
from kproxy.backends.ipvs.changes import FAMILIES, InPlace
from kproxy.backends.ipvs.compile import FIRST_MARK, Compiled, Server, compile_service
from kproxy.backends.ipvs.division import Division
from kproxy.backends.ipvs.wire import Request
from kproxy.model import Duties, Frontend, Kind, NodeDuties, Place, Target

NODE, BESIDE, VIP = (ip_address(text) for text in ("192.168.1.10", "192.168.1.11", "10.96.0.1"))
OWN = (NODE, BESIDE)
SERVER = Server(4, 6, NODE.packed, 30080)
KEYS = ("shop/a", "shop/b", "shop/c")


def frontend(key: str, kind: Kind, *last: int, port: int = 30080, outside: bool = False) -> Frontend:
    address = {Kind.NODE_PORT: None, Kind.EXTERNAL_IP: NODE}.get(kind, VIP)
    pool = tuple(Target(ip_address(f"10.244.1.{n}"), 8080) for n in last)
    return Frontend(Place(4, address, Protocol.TCP, port), kind, f"{key}:http", pool, pool[:1] if outside else None)


def service(key: str, *frontends: Frontend) -> Duties:
    return Duties(key, Reference("Service", *key.split("/")), frontends, rank=key, own=(ip_address("10.244.1.1"),))


class Incremental:
    """What the backend keeps, without a kernel: the sets as they would be in it, and the weights of its servers."""

    def __init__(self) -> None:
        self.place = InPlace(NodeDuties(), OWN)
        self.division = Division(OWN)
        self.sets: dict[int, dict[str, dict[bytes, object]]] = {family: {} for family in FAMILIES}
        self.servers: dict[str, dict[str, int]] = {}

    def commit(self, services: Mapping[str, Duties | None]) -> None:
        settled = self.division.settle(services).items()
        new = {key: compiled(owed) if owed.frontends else None for key, owed in settled}
        old = self.place.take(new)
        coming = {key: made for key, made in new.items() if made}
        for request in changes.between(self.place, old, coming):
            self._carry_out(request)
        for family, sets in self.sets.items():
            for name, gone in changes.gone(self.place, old.values(), family).items():
                for key in gone:
                    sets[name].pop(key, None)
            for name, elements in changes.merged((c.elements for c in coming.values()), family).items():
                sets.setdefault(name, {}).update(elements)

    def _carry_out(self, request: Request) -> None:
        named = dict(request.attributes)
        reals = self.servers.setdefault(str(named["IPVS_CMD_ATTR_SERVICE"]["attrs"][:4]), {})
        if real := named.get("IPVS_CMD_ATTR_DEST"):
            told = dict(real["attrs"])
            reals[told["IPVS_DEST_ATTR_ADDR"]] = told.get("IPVS_DEST_ATTR_WEIGHT", 0)

    def serving(self) -> dict[str, dict[str, int]]:
        """The servers, and of each the endpoints that take new connections."""
        each = {name: {at: weight for at, weight in reals.items() if weight} for name, reals in self.servers.items()}
        return {name: reals for name, reals in each.items() if reals}


def compiled(owed: Duties) -> Compiled:
    return compile_service(owed, FIRST_MARK + 16 * KEYS.index(owed.key), "rr")


def endpoints(made: Incremental) -> set[str]:
    return {str(target.address) for target in made.place.weights(SERVER)}


A = service("shop/a", frontend("shop/a", Kind.NODE_PORT, 1))
B = service("shop/b", frontend("shop/b", Kind.EXTERNAL_IP, 2))


def test_a_service_that_loses_its_rival_goes_on_and_can_be_changed() -> None:
    made = Incremental()
    made.commit({"shop/a": A, "shop/b": B})
    made.commit({"shop/a": None})
    assert endpoints(made) == {"10.244.1.2"}
    made.commit({"shop/b": service("shop/b", frontend("shop/b", Kind.EXTERNAL_IP, 3))})
    assert endpoints(made) == {"10.244.1.3"}


def test_who_names_the_nodes_address_comes_before_a_node_port_whoever_came_first() -> None:
    for first, second in ((A, B), (B, A)):
        made = Incremental()
        made.commit({first.key: first})
        made.commit({second.key: second})
        assert endpoints(made) == {"10.244.1.2"}
        assert made.place.weights(Server(4, 6, BESIDE.packed, 30080))  # the NodePort answers there


def test_a_node_port_answers_again_when_the_address_is_not_named_any_more() -> None:
    made = Incremental()
    made.commit({"shop/a": A, "shop/b": B})
    made.commit({"shop/b": None})
    assert endpoints(made) == {"10.244.1.1"}


def test_a_rival_without_endpoints_refuses_nothing_that_is_not_its_own() -> None:
    made = Incremental()
    made.commit({"shop/a": service("shop/a", frontend("shop/a", Kind.NODE_PORT)), "shop/b": B})
    refused = made.sets[4].get("KUBE-REJECT", {})
    assert not [key for key in refused if key.startswith(NODE.packed)]
    assert [key for key in refused if key.startswith(BESIDE.packed)]


KINDS = st.sampled_from([Kind.NODE_PORT, Kind.EXTERNAL_IP, Kind.LOAD_BALANCER])


def services(key: str) -> st.SearchStrategy[Duties | None]:
    one = st.builds(
        lambda kind, port, last, outside: frontend(key, kind, *last, port=port, outside=outside),
        KINDS,
        st.sampled_from([30080, 30081]),
        st.sets(st.integers(1, 3)),
        st.booleans(),
    )
    some = st.lists(one, max_size=3, unique_by=lambda made: made.place)
    return st.none() | some.map(lambda made: service(key, *made))


STEPS = st.lists(st.fixed_dictionaries({}, optional={key: services(key) for key in KEYS}), max_size=5)


@given(steps=STEPS)
@settings(max_examples=30, deadline=None, derandomize=True)
def test_after_any_changes_everything_is_as_if_put_in_place_anew(steps: list[dict[str, Duties | None]]) -> None:
    made, all_of_it = Incremental(), dict[str, Duties | None]()
    for step in steps:
        made.commit(step)
        all_of_it |= step
        fresh = Incremental()
        fresh.commit(all_of_it)
        assert made.place == fresh.place
        assert made.serving() == fresh.serving()
        for family in FAMILIES:
            assert {name: found for name, found in made.sets[family].items() if found} == fresh.place.elements(family)
