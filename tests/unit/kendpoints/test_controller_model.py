"""Random histories: whatever happens, at rest every Service has exactly the endpoints that an oracle says.

The histories are those of a cluster with trouble: controllers that are ended at any moment, also between two writes,
and start anew; two of them at once; caches that stand still, all or one; writes that are refused or whose answers are
lost; and people who change what is not theirs. All of it must come to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from tests.unit.kendpoints import oracle, trouble
from tests.unit.kendpoints.warp import WarpLoop

from kapi.errors import AlreadyExists, ApiError
from kapi.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from kendpoints.controller import Settings

HISTORIES = 1000
STEPS = 14
LIMIT = 3  # endpoints of a slice
NAMESPACE = "default"
PODS_OF_ONE = 12
TWIN = "two controllers that both had work"
MET = (trouble.STALE, trouble.CONFLICT, trouble.REFUSED, trouble.LOST, trouble.BEFORE, trouble.AFTER, TWIN)

APPS = st.sampled_from(("web", "api"))
NUMBERS = st.integers(0, PODS_OF_ONE - 1)
FAMILIES = st.sampled_from((["IPv4"], ["IPv6"], ["IPv4", "IPv6"], ["IPv6", "IPv4"]))
CHANGES = st.sampled_from(
    (
        {"spec": {"selector": {"app": "web"}}},
        {"spec": {"selector": {"app": "api"}}},
        {"spec": {"publishNotReadyAddresses": True}},
        {"spec": {"publishNotReadyAddresses": False}},
        {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
        {"spec": {"ports": [{"name": "x", "port": 80, "targetPort": "http"}, {"name": "y", "port": 81}]}},
        {"metadata": {"labels": {"team": "blue"}}},
    )
)


class Histories(RuleBasedStateMachine):
    """One cluster, from its beginning until it is at rest. `met` counts the trouble of all of them."""

    def __init__(self, cluster: Any, met: Counter[str]) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=WarpLoop)
        self._stack = AsyncExitStack()
        self._cluster = cluster
        self._met = met

    def _do(self, *steps: Awaitable[Any]) -> None:
        """Take steps; what the API refuses, because it is not so, does not happen."""

        async def take() -> None:
            for step in steps:
                with contextlib.suppress(ApiError):
                    await step
            self._met[TWIN] += len(self.here.controllers) > 1 and not any(one.idle for one in self.here.controllers)

        self._runner.run(take())

    @initialize(batch=st.sampled_from((0.0, 0.0, 0.004)), families=FAMILIES)
    def begin(self, batch: float, families: list[str]) -> None:
        given = Settings(max_endpoints_per_slice=LIMIT, repair_delay=0.01, batch_period=batch)
        entering = self._stack.enter_async_context(self._cluster(given, met=self._met))
        self.here = self._runner.run(entering)
        self._do(self._service("web", families), *(self.here.pod(number) for number in range(4)))

    # What happens in a cluster.

    @rule(number=NUMBERS, app=APPS, node=st.sampled_from("ab"), ready=st.booleans())
    def a_pod_comes(self, number: int, app: str, node: str, ready: bool) -> None:
        """Perhaps in the place of one of its name, as those of a StatefulSet do."""
        self._do(self._delete_pod(number), self.here.pod(number, app, node=node, ready=ready))

    @rule(number=NUMBERS, ready=st.booleans(), phase=st.sampled_from(("Running", "Running", "Running", "Succeeded")))
    def a_pod_turns(self, number: int, ready: bool, phase: str) -> None:
        self._do(self.here.status(number, ready=ready and phase == "Running", phase=phase))

    @rule(number=NUMBERS, app=APPS)
    def a_pod_is_relabelled(self, number: int, app: str) -> None:
        patch = {"metadata": {"labels": {"app": app}}}
        self._do(self.here.client.patch(PODS, f"p{number}", patch, NAMESPACE))

    @rule(number=NUMBERS, grace=st.sampled_from((None, 0)))
    def a_pod_goes(self, number: int, grace: int | None) -> None:
        self._do(self._delete_pod(number, grace))

    @rule(app=APPS, first=st.sampled_from((0, 4, 8)), until_crash=st.integers(0, 8))
    def pods_are_replaced_and_the_controller_crashes_meanwhile(self, app: str, first: int, until_crash: int) -> None:
        """A rolling update, one new pod for each old one."""
        steps = []
        for number in range(first, first + 4):
            new = (number + 4) % PODS_OF_ONE
            steps += [self._delete_pod(new), self.here.pod(new, app), self._delete_pod(number, None)]
        self._do(*steps[:until_crash], self._crash(), *steps[until_crash:])

    @rule(name=APPS, families=FAMILIES)
    def a_service_comes(self, name: str, families: list[str]) -> None:
        """Perhaps at once after one of its name went: its slices are another's."""
        self._do(self.here.client.delete(SERVICES, name, NAMESPACE), self._service(name, families))

    @rule(name=APPS, change=CHANGES)
    def a_service_changes(self, name: str, change: Any) -> None:
        self._do(self.here.client.patch(SERVICES, name, change, NAMESPACE))

    @rule(name=st.sampled_from(("web", "api", "db")))
    def a_service_goes(self, name: str) -> None:
        self._do(self.here.client.delete(SERVICES, name, NAMESPACE))

    @rule(name=st.sampled_from("ab"), there=st.booleans())
    def a_node_comes_or_goes(self, name: str, there: bool) -> None:
        self._do(self.here.node(name) if there else self.here.client.delete(NODES, name))

    # What people do.

    @rule(ready=st.integers(0, 4), not_ready=st.integers(0, 2))
    def endpoints_are_written_by_hand(self, ready: int, not_ready: int) -> None:
        addresses = [{"ip": f"192.0.2.{n}"} for n in range(1, ready + 1)] + [{"ip": "2001:db8::1"}]
        subset = {"addresses": addresses, "ports": [{"name": "sql", "port": 5432}]}
        subset |= {"notReadyAddresses": [{"ip": f"192.0.2.{n}"} for n in range(91, 91 + not_ready)]}
        self._do(self._by_hand({"metadata": {"name": "db", "namespace": NAMESPACE}, "subsets": [subset]}))

    @rule(index=st.integers(0, 5), how=st.sampled_from(("deleted", "emptied", "doubled")))
    def a_slice_is_meddled_with(self, index: int, how: str) -> None:
        self._do(self._meddle(index, how))

    # What befalls controllers.

    @rule(turns=st.integers(0, 40))
    def turns_of_the_loop_pass(self, turns: int) -> None:
        self._do(*(asyncio.sleep(0) for _ in range(turns)))

    @rule(seconds=st.sampled_from((0.003, 0.3, 0.03)))
    def time_passes(self, seconds: float) -> None:
        self._do(asyncio.sleep(seconds))

    @rule(turns=st.integers(0, 40))
    def the_controller_crashes(self, turns: int) -> None:
        self._do(*(asyncio.sleep(0) for _ in range(turns)), self._crash())

    @rule()
    def a_second_one_begins_or_ends(self) -> None:
        self._do(self.here.toggle_twin())

    @rule(watched=st.sampled_from(((), *((one,) for one in trouble.WATCHED))), others=st.booleans())
    def caches_stand_still(self, watched: tuple[str, ...], others: bool) -> None:
        """Of one controller, or of the other."""
        (self.here.twin if others and self.here.twin else self.here).trouble.hold(*watched)

    @rule(refusals=st.integers(0, 2), losses=st.integers(0, 2))
    def writes_will_fail(self, refusals: int, losses: int) -> None:
        self.here.trouble.refusals, self.here.trouble.losses = refusals, losses

    @precondition(lambda self: any(one.trouble.held for one in self.here.controllers))
    @rule()
    def caches_go_on(self) -> None:
        for one in self.here.controllers:
            one.trouble.flow()

    @rule()
    def all_comes_to_rest(self) -> None:
        self._runner.run(self._settled())

    def teardown(self) -> None:
        """However it ended: it must come to rest."""
        try:
            if hasattr(self, "here"):
                self._runner.run(self._settled())
        finally:
            self._runner.run(self._stack.aclose())
            self._runner.close()

    async def _settled(self) -> None:
        here = self.here
        for one in here.controllers:
            one.trouble.flow()
            one.trouble.refusals = one.trouble.losses = 0
        await here.at_rest()
        await here.becomes(None, self._difference)
        await here.at_rest()
        assert await self._difference() is None
        assert await oracle.faults(here.client, LIMIT) == []

    async def _difference(self) -> tuple[oracle.Found, oracle.Found] | None:
        """What there is and what there must be now, where they differ: a deletion on its way may change both."""
        found, wanted = await self.here.written(), await self.here.wanted()
        return None if found == wanted else (found, wanted)

    async def _crash(self) -> None:
        await self.here.stop()
        self.here.start()

    async def _service(self, name: str, families: list[str]) -> None:
        policy = "RequireDualStack" if len(families) > 1 else "SingleStack"
        await self.here.service(name, ipFamilies=families, ipFamilyPolicy=policy)

    async def _delete_pod(self, number: int, grace: int | None = 0) -> None:
        await self.here.client.delete(PODS, f"p{number}", NAMESPACE, grace_seconds=grace)

    async def _by_hand(self, endpoints: Any) -> None:
        with contextlib.suppress(AlreadyExists):
            await self.here.service("db", selector=None)
        try:
            await self.here.client.create(ENDPOINTS, endpoints)
        except AlreadyExists:
            await self.here.client.update(ENDPOINTS, endpoints)

    async def _meddle(self, index: int, how: str) -> None:
        """Do to a slice of ours what nobody should."""
        client = self.here.client
        found = [one for one in (await client.list(ENDPOINT_SLICES, NAMESPACE)).items if _is_ours(one)]
        if not found:
            return
        one = found[index % len(found)]
        name = one["metadata"]["name"]
        match how:
            case "deleted":
                await client.delete(ENDPOINT_SLICES, name, NAMESPACE)
            case "emptied":
                await client.patch(ENDPOINT_SLICES, name, {"endpoints": []}, NAMESPACE)
            case "doubled":
                meta = {k: one["metadata"][k] for k in ("namespace", "labels", "ownerReferences")}
                await client.create(ENDPOINT_SLICES, {**one, "metadata": meta | {"generateName": "double-"}})


def _is_ours(one: Any) -> bool:
    return "endpointslice.kubernetes.io/managed-by" in one["metadata"]["labels"]


@pytest.mark.timeout(400)  # a thousand histories, some hundredths of a second each
def test_at_rest_every_service_has_the_oracles_endpoints(cluster: Callable[..., Any]) -> None:
    met: Counter[str] = Counter()
    bounds = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        phases=(
            Phase.reuse,
            Phase.generate,
        ),  # so short a history can be read, and need not be made shorter for minutes
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(cast(Any, lambda: Histories(cluster, met)), settings=bounds)  # any that makes one will do
    seldom = {what: met[what] for what in MET if met[what] < HISTORIES / 50}
    assert not seldom, "these histories are of no trouble"
