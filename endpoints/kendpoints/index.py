"""Which Services select a pod, and which pods a Service selects, without looking at all of either. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kapi.network import Pod, Service

_Term = tuple[str, str, str]  # namespace, label, value
_EVERYTHING = ""  # no label has this name: the term of selectors without any


class ServiceIndex:
    """Services by their selectors. Each is filed under one label of its selector; the others are compared."""

    def __init__(self) -> None:
        self._filed: dict[_Term, dict[str, Mapping[str, str]]] = {}

    def put(self, service: Service) -> None:
        """File a Service; one without a selector is not filed."""
        if service.selector is not None:
            self._filed.setdefault(_file(service), {})[service.key] = service.selector

    def remove(self, service: Service) -> None:
        """Take back what `put` filed for this very value."""
        if service.selector is None:
            return
        term = _file(service)
        filed = self._filed.get(term, {})
        filed.pop(service.key, None)
        if not filed:
            self._filed.pop(term, None)

    def selecting(self, pod: Pod) -> set[str]:
        """Give the keys of the Services whose selector matches the pod's labels."""
        return {
            key
            for term in _terms(pod)
            for key, selector in self._filed.get(term, {}).items()
            if _matches(selector, pod.labels)
        }


class PodIndex:
    """Pods by label and by node."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._by_term: dict[_Term, set[str]] = {}
        self._by_node: dict[str, set[str]] = {}

    def put(self, pod: Pod) -> None:
        """File a pod, in place of an earlier state of it."""
        old = self._pods.get(pod.key)
        if old is not None and (old.labels, old.node_name) != (pod.labels, pod.node_name):
            self.remove(old)
            old = None
        self._pods[pod.key] = pod
        if old is None:
            for filed in self._files(pod, create=True):
                filed.add(pod.key)

    def remove(self, pod: Pod) -> None:
        """Forget a pod."""
        known = self._pods.pop(pod.key, None)
        if known is None:
            return
        for filed in self._files(known, create=False):
            filed.discard(known.key)
        for term in _terms(known):
            if not self._by_term.get(term, True):
                del self._by_term[term]
        if not self._by_node.get(known.node_name, True):
            del self._by_node[known.node_name]

    def selected(self, service: Service) -> list[Pod]:
        """Give the pods that a Service selects, in the order of their names."""
        selector = service.selector
        if selector is None:
            return []
        terms = [(service.namespace, label, value) for label, value in selector.items()]
        candidates = [self._by_term.get(term, set()) for term in terms or [(service.namespace, _EVERYTHING, "")]]
        fewest = min(candidates, key=len)
        found = (self._pods[key] for key in sorted(fewest))
        return [pod for pod in found if _matches(selector, pod.labels)]

    def on_node(self, node: str) -> list[Pod]:
        """Give the pods that are bound to a node."""
        return [self._pods[key] for key in self._by_node.get(node, ())]

    def _files(self, pod: Pod, *, create: bool) -> Iterator[set[str]]:
        places = [(self._by_term, term) for term in _terms(pod)]
        for files, term in places:
            yield files.setdefault(term, set()) if create else files.get(term, set())
        if pod.node_name:
            by_node = self._by_node
            yield by_node.setdefault(pod.node_name, set()) if create else by_node.get(pod.node_name, set())


def _matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(label) == value for label, value in selector.items())


def _file(service: Service) -> _Term:
    label, value = min((service.selector or {}).items(), default=(_EVERYTHING, ""))
    return (service.namespace, label, value)


def _terms(pod: Pod) -> Iterable[_Term]:
    yield (pod.namespace, _EVERYTHING, "")
    for label, value in pod.labels.items():
        yield (pod.namespace, label, value)
