from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.network import Reference
from kingress.match import HostRoutes, Route, Table
from kingress.objects import BackendRef, HostRule, Ingress, PathRule, PathType
from kingress.routes import Routes

EXACT, PREFIX = PathType.EXACT, PathType.PREFIX


def table(*rules: tuple[str, PathType, str]) -> Table:
    """The table of one Ingress with one rule for each host, type and path; the backend is called by the last two."""
    paths = [
        HostRule(host, (PathRule(path, kind, BackendRef("shop", f"{kind} {path}", 80), "f"),), "r")
        for host, kind, path in rules
    ]
    routes = Routes()
    routes.put(Ingress("shop", "web", rules=tuple(paths)))
    return routes.table


def found(route: Route | None) -> str | None:
    """What a route is called by."""
    return route.backend.service if route else None


@dataclass(frozen=True, slots=True)
class Case:
    """A row of the Ingress documentation's table: rules, a request, and the path of the rule that it matches."""

    kind: PathType
    paths: tuple[str, ...]
    request: str
    expected: str | None


DOCUMENTED = [
    Case(PREFIX, ("/",), "/any/path", "/"),
    Case(EXACT, ("/foo",), "/foo", "/foo"),
    Case(EXACT, ("/foo",), "/bar", None),
    Case(EXACT, ("/foo",), "/foo/", None),
    Case(EXACT, ("/foo/",), "/foo", None),
    Case(PREFIX, ("/foo",), "/foo", "/foo"),
    Case(PREFIX, ("/foo",), "/foo/", "/foo"),
    Case(PREFIX, ("/foo/",), "/foo", "/foo/"),
    Case(PREFIX, ("/foo/",), "/foo/", "/foo/"),
    Case(PREFIX, ("/aaa/bb",), "/aaa/bbb", None),
    Case(PREFIX, ("/aaa/bbb",), "/aaa/bbb", "/aaa/bbb"),
    Case(PREFIX, ("/aaa/bbb/",), "/aaa/bbb", "/aaa/bbb/"),
    Case(PREFIX, ("/aaa/bbb",), "/aaa/bbb/", "/aaa/bbb"),
    Case(PREFIX, ("/aaa/bbb",), "/aaa/bbb/ccc", "/aaa/bbb"),
    Case(PREFIX, ("/aaa/bbb",), "/aaa/bbbxyz", None),
    Case(PREFIX, ("/", "/aaa"), "/aaa/ccc", "/aaa"),
    Case(PREFIX, ("/", "/aaa", "/aaa/bbb"), "/aaa/bbb", "/aaa/bbb"),
    Case(PREFIX, ("/", "/aaa", "/aaa/bbb"), "/ccc", "/"),
    Case(PREFIX, ("/aaa",), "/ccc", None),
    # Beside the table: case counts, and of /foo and /foo/ the longer wins.
    Case(PREFIX, ("/aaa",), "/AAA", None),
    Case(EXACT, ("/foo",), "/FOO", None),
    Case(PREFIX, ("/foo", "/foo/"), "/foo", "/foo/"),
    Case(PREFIX, ("/foo/", "/foo"), "/foo/x", "/foo/"),
    Case(PREFIX, ("/aaa",), "/aaa//x", "/aaa"),
    Case(PREFIX, ("/aaa",), "//aaa", None),
]


@pytest.mark.parametrize("case", DOCUMENTED, ids=str)
def test_paths_match_as_documented(case: Case) -> None:
    expected = None if case.expected is None else f"{case.kind} {case.expected}"
    assert found(table(*(("a.example", case.kind, path) for path in case.paths)).find("a.example", case.request)) == (
        expected
    )


def test_an_exact_path_beats_a_prefix() -> None:
    both = table(("a.example", PREFIX, "/foo"), ("a.example", EXACT, "/foo"))
    assert found(both.find("a.example", "/foo")) == "Exact /foo"
    assert found(both.find("a.example", "/foo/")) == "Prefix /foo"


def test_an_exact_path_beats_even_a_prefix_that_is_longer_by_its_final_slash() -> None:
    both = table(("a.example", PREFIX, "/foo/"), ("a.example", EXACT, "/foo"))
    assert found(both.find("a.example", "/foo")) == "Exact /foo"


@pytest.mark.parametrize(
    ("host", "expected"), [("bar.foo.com", "Prefix /"), ("baz.bar.foo.com", None), ("foo.com", None), ("", None)]
)
def test_a_wildcard_stands_for_exactly_one_label(host: str, expected: str | None) -> None:
    assert found(table(("*.foo.com", PREFIX, "/")).find(host, "/")) == expected


def test_an_exact_host_beats_a_wildcard_and_that_beats_no_host() -> None:
    all_three = table(("a.foo.com", PREFIX, "/a"), ("*.foo.com", PREFIX, "/b"), ("", PREFIX, "/c"))
    assert found(all_three.find("a.foo.com", "/a")) == "Prefix /a"
    assert found(all_three.find("x.foo.com", "/a")) is None
    assert found(all_three.find("x.foo.com", "/b")) == "Prefix /b"
    assert found(all_three.find("a.foo.com", "/c")) == "Prefix /c", "a rule without a host applies to every host"
    assert found(all_three.find("", "/c")) == "Prefix /c"
    same = table(("a.foo.com", PREFIX, "/"), ("*.foo.com", EXACT, "/b"), ("", EXACT, "/b"))
    assert found(same.find("a.foo.com", "/b")) == "Prefix /", "the host is decided before the path"


ELEMENTS = st.sampled_from(["", "a", "b", "aa"])
PATHS = st.lists(ELEMENTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
RULES = st.lists(st.tuples(st.sampled_from([EXACT, PREFIX]), PATHS), max_size=8)


def naive(rules: list[tuple[PathType, str]], request: str) -> str | None:
    """The documentation, word for word, in time that grows with the rules."""

    def elements(path: str) -> list[str]:
        return path.removesuffix("/").split("/")[1:]

    exact = [path for kind, path in rules if kind is EXACT and path == request]
    wanted = request.split("/")[1:]
    prefixes = [path for kind, path in rules if kind is PREFIX and wanted[: len(elements(path))] == elements(path)]
    if exact:
        return f"Exact {exact[0]}"
    return f"Prefix {max(prefixes, key=len)}" if prefixes else None


@given(RULES, PATHS)
def test_the_table_agrees_with_a_naive_reading_of_the_documentation(
    rules: list[tuple[PathType, str]], request: str
) -> None:
    compiled = table(*(("h", kind, path) for kind, path in rules))
    assert found(compiled.find("h", request)) == naive(rules, request)


class Counted(dict[str, Route]):
    """Rules that count how often they are asked for a path."""

    asked = 0

    def get(self, path: str, default: Any = None) -> Any:
        self.asked += 1
        return super().get(path, default)


def looked_up(path: str, *prefixes: str) -> int:
    """How many look-ups it takes to find the rule of a path."""
    compiled = table(*(("h", PREFIX, prefix) for prefix in prefixes)).hosts["h"]
    rules = Counted(compiled.prefixes)
    HostRoutes(compiled.exact, rules, compiled.longest).find(path)
    return rules.asked


@pytest.mark.parametrize("rules", [10, 10_000])
def test_a_rule_is_found_with_at_most_a_look_up_for_each_element_of_the_path(rules: int) -> None:
    assert looked_up("/p7/x/y", *(f"/p{i}/x" for i in range(rules))) <= 3
    assert looked_up("/p7/z", *(f"/p{i}/x" for i in range(rules))) <= 3


def test_a_path_of_many_elements_takes_no_more_look_ups_than_the_longest_rule_has_characters() -> None:
    assert looked_up("/" * 8000, "/a/b") <= 5


def test_a_route_says_where_it_comes_from() -> None:
    route = Route(BackendRef("shop", "web", 80), "h", "/", PREFIX, Reference("Ingress", "shop", "web"), "spec.rules[0]")
    assert str(route) == "Ingress shop/web spec.rules[0]"
