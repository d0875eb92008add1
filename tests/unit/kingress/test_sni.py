from __future__ import annotations

from kingress.objects import HostRule, Ingress, Tls
from kingress.sni import SniTable, secrets_of


def ingress(
    name: str, *entries: tuple[str, tuple[str, ...]], created: str = "2026", hosts: tuple[str, ...] = ()
) -> Ingress:
    rules = tuple(HostRule(host, (), "f") for host in hosts)
    return Ingress(
        "shop", name, rules=rules, tls=tuple(Tls(hosts, secret) for secret, hosts in entries), created=created
    )


def test_a_name_finds_its_secret_exactly_or_by_a_wildcard_for_one_label() -> None:
    table = SniTable()
    table.put(ingress("i", ("one", ("a.example",)), ("wild", ("*.a.example",))))
    for name, secret in (
        ("a.example", "shop/one"),
        ("A.Example.", "shop/one"),
        ("x.a.example", "shop/wild"),
        ("x.y.a.example", ""),
        ("example", ""),
        ("", ""),
    ):
        assert table.secret(name) == secret
    for name, claim in (("A.Example.", "Ingress shop/i spec.tls[0]"), ("x.a.example", "Ingress shop/i spec.tls[1]")):
        assert table.claimed(name) == claim


def test_an_entry_without_hosts_is_for_the_hosts_of_the_rules() -> None:
    table = SniTable()
    table.put(ingress("i", ("one", ()), hosts=("a.example", "")))
    assert table.hosts == {"a.example": "shop/one"}


def test_an_entry_without_a_secret_names_none() -> None:
    assert secrets_of(ingress("i", ("", ("a.example",)))) == frozenset()


def test_the_oldest_ingress_decides_and_the_loser_is_told_until_the_other_goes() -> None:
    old, new = (
        ingress("old", ("one", ("a.example",)), created="2025"),
        ingress("new", ("two", ("a.example",)), created="2026"),
    )
    for order in ((old, new), (new, old)):
        table = SniTable()
        for each in order:
            table.put(each)
        assert table.secret("a.example") == "shop/one"
        assert [problem.field for problem in table.problems("shop/new")] == ["spec.tls[0]"]
        assert not list(table.problems("shop/old"))
        table.remove("shop/old")
        assert table.secret("a.example") == "shop/two"
        assert not list(table.problems("shop/new"))
        table.remove("shop/new")
        assert table.hosts == {}
