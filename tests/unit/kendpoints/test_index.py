"""The indexes agree with looking at everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kendpoints.index import PodIndex, ServiceIndex

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)


@given(
    st.dictionaries(st.integers(1, 6), LABELS),
    st.dictionaries(st.integers(1, 4), st.none() | LABELS),
    st.integers(0, 3),
)
def test_the_indexes_find_what_comparing_all_would_find(
    build: Any, pods: dict[int, dict[str, str]], selectors: dict[int, dict[str, str] | None], dropped: int
) -> None:
    pod_index, service_index = PodIndex(), ServiceIndex()
    placed = [build.pod(number, labels=labels) for number, labels in pods.items()]
    services = [build.service(f"s{number}", selector=selector) for number, selector in selectors.items()]
    for pod in placed:
        pod_index.put(build.pod(1, name=pod.name, labels={"a": "x"}, node_name="other"))
        pod_index.put(pod)
    for service in services:
        service_index.put(service)
    for pod in placed[:dropped]:
        pod_index.remove(pod)
    for service in services[:dropped]:
        service_index.remove(service)
    for service in services:
        expected = [
            pod
            for pod in placed[dropped:]
            if service.selector is not None and service.selector.items() <= dict(pod.labels).items()
        ]
        assert pod_index.selected(service) == sorted(expected, key=lambda pod: pod.name)
    for pod in placed:
        selecting = {
            service.key
            for service in services[dropped:]
            if service.selector is not None and service.selector.items() <= dict(pod.labels).items()
        }
        assert service_index.selecting(pod) == selecting


def test_selectors_reach_no_other_namespace(build: Any) -> None:
    index = ServiceIndex()
    index.put(build.service(namespace="other"))
    assert index.selecting(build.pod()) == set()


@pytest.mark.parametrize("node", ["a", "b"])
def test_pods_are_found_by_the_node_they_are_on_now(build: Any, node: str) -> None:
    index = PodIndex()
    index.put(build.pod(node_name=""))
    index.put(build.pod(node_name=node))
    assert [pod.node_name for pod in index.on_node(node)] == [node]
    assert index.on_node("") == []
