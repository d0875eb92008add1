"""The namespaces of a running lab: router, nodes and client, made from the plan and held open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from netnslab import plan
from netnslab.errors import KernelError, Unsupported
from netnslab.kernel import Namespace
from netnslab.topology import Topology


@contextmanager
def network(topology: Topology) -> Iterator[Mapping[str, Namespace]]:
    """The network of a lab without its pods, for the length of a block: its namespaces by name.

    Raises Unsupported when the kernel refuses a part of it.
    """
    steps = plan.network(topology).steps
    with ExitStack() as stack:
        try:
            namespaces = {name: stack.enter_context(Namespace.create()) for name in steps}
            for name, wanted in steps.items():
                namespaces[name].apply(wanted, namespaces)
        except KernelError as error:
            raise Unsupported(
                f"this machine refuses a part of the lab's network ({error}); `netns-lab doctor` says what it lacks"
            ) from error
        yield namespaces
