from __future__ import annotations

from dataclasses import replace

from kingress.objects import BackendRef, HostRule, Ingress, PathRule, PathType
from kingress.policy import Policy
from kingress.routes import Routes


def ingress(
    name: str,
    *rules: tuple[str, str],
    created: str = "2026-01-01T00:00:00Z",
    kind: PathType = PathType.PREFIX,
    default: str = "",
) -> Ingress:
    """An Ingress of (host, path) rules, all to a Service of its own name."""
    backend = BackendRef("shop", name, 80)
    return Ingress(
        "shop",
        name,
        rules=tuple(
            HostRule(host, (PathRule(path, kind, backend, f"spec.rules[{i}].http.paths[0]"),), f"spec.rules[{i}]")
            for i, (host, path) in enumerate(rules)
        ),
        default_backend=BackendRef("shop", default, 80) if default else None,
        created=created,
    )


def service(routes: Routes, host: str, path: str) -> str | None:
    """Which Service answers."""
    route = routes.table.find(host, path)
    return route.backend.service if route else None


def test_different_paths_of_one_host_are_merged() -> None:
    routes = Routes()
    routes.put(ingress("web", ("a.example", "/")))
    routes.put(ingress("api", ("a.example", "/api")))
    assert service(routes, "a.example", "/x") == "web"
    assert service(routes, "a.example", "/api/x") == "api"
    assert not routes.problems("shop/web")
    assert not routes.problems("shop/api")


def test_the_oldest_wins_a_conflict_whoever_comes_first_and_the_loser_is_told() -> None:
    old = ingress("old", ("a.example", "/"), created="2025-01-01T00:00:00Z")
    new = ingress("new", ("a.example", "/"), created="2026-01-01T00:00:00Z")
    for order in ((old, new), (new, old)):
        routes = Routes()
        for each in order:
            routes.put(each)
        assert service(routes, "a.example", "/") == "old"
        assert not routes.problems("shop/old")
        (problem,) = routes.problems("shop/new")
        assert problem.field == "spec.rules[0].http.paths[0]"
        assert "a.example/ is taken by Ingress shop/old spec.rules[0].http.paths[0]" in problem.message


def test_of_equally_old_ones_the_first_by_name_wins() -> None:
    routes = Routes()
    routes.put(ingress("b", ("a.example", "/")))
    routes.put(ingress("a", ("a.example", "/")))
    assert service(routes, "a.example", "/") == "a"


def test_the_loser_takes_over_when_the_winner_goes() -> None:
    routes = Routes()
    routes.put(ingress("old", ("a.example", "/"), created="2025-01-01T00:00:00Z"))
    routes.put(ingress("new", ("a.example", "/")))
    assert routes.remove("shop/old") == {"shop/new"}, "whose problems are to be looked at again"
    assert service(routes, "a.example", "/") == "new"
    assert not routes.problems("shop/new")


def test_exact_and_prefix_rules_of_one_path_do_not_conflict() -> None:
    routes = Routes()
    routes.put(ingress("exact", ("a.example", "/foo"), kind=PathType.EXACT))
    routes.put(ingress("prefix", ("a.example", "/foo")))
    assert not routes.problems("shop/exact")
    assert not routes.problems("shop/prefix")


def test_a_prefix_without_its_final_slash_is_told_that_it_is_never_used() -> None:
    routes = Routes()
    routes.put(ingress("bare", ("a.example", "/foo"), created="2025-01-01T00:00:00Z"))
    routes.put(ingress("slash", ("a.example", "/foo/")))
    assert service(routes, "a.example", "/foo") == "slash"
    (problem,) = routes.problems("shop/bare")
    assert "never used" in problem.message


def test_a_change_compiles_only_the_hosts_that_it_touches() -> None:
    routes = Routes()
    routes.put(ingress("one", ("one.example", "/")))
    routes.put(ingress("two", ("two.example", "/"), ("both.example", "/")))
    before = dict(routes.table.hosts)
    routes.put(ingress("two", ("two.example", "/new"), ("three.example", "/")))
    assert routes.table.hosts["one.example"] is before["one.example"]
    assert routes.table.hosts["two.example"] is not before["two.example"]
    assert set(routes.table.hosts) == {"one.example", "two.example", "three.example"}
    routes.remove("shop/two")
    routes.remove("shop/one")
    assert routes.table.hosts == {}
    assert routes.remove("shop/one") == set()


def test_the_default_backend_answers_what_no_rule_matches() -> None:
    routes = Routes()
    routes.put(ingress("web", ("a.example", "/web"), default="fallback"))
    assert service(routes, "a.example", "/web") == "web"
    assert service(routes, "a.example", "/") == "fallback"
    assert service(routes, "other.example", "/") == "fallback"
    routes.remove("shop/web")
    assert service(routes, "other.example", "/") is None


def test_each_host_has_the_default_backend_of_its_own_ingress() -> None:
    routes = Routes()
    routes.put(ingress("old", ("old.example", "/old"), default="old-default", created="2025-01-01T00:00:00Z"))
    routes.put(ingress("new", ("new.example", "/new"), default="new-default"))
    assert service(routes, "new.example", "/") == "new-default"
    assert service(routes, "old.example", "/") == "old-default"
    assert service(routes, "unknown.example", "/") == "old-default"
    (problem,) = routes.problems("shop/new")
    assert problem.field == "spec.defaultBackend"


def test_an_ingress_without_rules_is_a_default_backend_alone() -> None:
    routes = Routes()
    routes.put(ingress("all", default="all"))
    assert service(routes, "", "/") == "all"


def test_a_canary_stands_beside_the_rule_it_takes_a_part_of_and_conflicts_with_nobody() -> None:
    main = ingress("main", ("a.example", "/"))
    canary = replace(ingress("canary", ("a.example", "/"), created="2020"), policy=Policy(canary=True, canary_weight=5))
    for order in ((main, canary), (canary, main)):
        routes = Routes()
        for each in order:
            routes.put(each)
        found = routes.table.find("a.example", "/x")
        assert found is not None
        assert found.backend.service == "main"
        assert [each.backend.service for each in found.canaries] == ["canary"]
        assert not routes.problems("shop/main")
        assert not routes.problems("shop/canary")
        routes.remove("shop/main")
        assert routes.table.find("a.example", "/x") is None
        (problem,) = routes.problems("shop/canary")
        assert "a canary needs one" in problem.message
