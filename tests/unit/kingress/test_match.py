from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.network import Reference
from kingress.match import Route, Table
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


def test_a_look_up_does_not_take_longer_with_more_routes() -> None:
    few = table(*(("h", PREFIX, f"/p{i}/x") for i in range(10)))
    many = table(*(("h", PREFIX, f"/p{i}/x") for i in range(10_000)))

    def cost(routes: Table) -> float:
        best = 1.0
        for _ in range(5):
            started = time.process_time()
            for _ in range(2000):
                routes.find("h", "/p7/x/y")
            best = min(best, time.process_time() - started)
        return best

    assert cost(many) < 3 * cost(few)


def test_a_path_of_many_elements_costs_no_more_than_the_longest_rule() -> None:
    compiled = table(("h", PREFIX, "/a/b"))
    started = time.process_time()
    for _ in range(1000):
        compiled.find("h", "/" * 8000)
    assert time.process_time() - started < 0.2


def test_a_route_says_where_it_comes_from() -> None:
    route = Route(BackendRef("shop", "web", 80), "h", "/", PREFIX, Reference("Ingress", "shop", "web"), "spec.rules[0]")
    assert str(route) == "Ingress shop/web spec.rules[0]"
