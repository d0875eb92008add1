"""A lab's network on a real kernel."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import ExitStack

from netnslab import plan, topology
from netnslab.kernel import Namespace
from netnslab.topology import Addresses

RULES = "table inet test { chain forward { type filter hook forward priority 0; ip daddr 10.96.0.1 reject\n}\n}\n"


def test_many_rejections_in_a_row_all_come_at_once() -> None:
    lab = topology.default(1)
    with ExitStack() as stack:
        steps = plan.network(lab).steps
        spaces = {name: stack.enter_context(Namespace.create()) for name in (*steps, plan.POD)}
        for name, listed in steps.items():
            spaces[name].apply(listed, spaces)
        node = lab.nodes[0]
        planned = plan.pod(node, Addresses.at(node.pod_networks, 7))
        spaces[plan.POD].apply(plan.before_pod())
        spaces[node.name].apply(planned.node, spaces)
        spaces[plan.POD].apply(planned.pod)
        with spaces[node.name].entered():
            subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)
        waits = [_refused(spaces[plan.POD]) for _ in range(20)]
    assert max(waits) < 0.5, waits


def _refused(pod: Namespace) -> float:
    """Connect to what the rules refuse; returns the seconds until the kernel says so."""
    with pod.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(3)
        started = time.perf_counter()
        try:
            client.connect(("10.96.0.1", 80))
        except ConnectionRefusedError:
            return time.perf_counter() - started
        except TimeoutError:
            return 3.0
    raise AssertionError("a connection that the rules refuse was made")
