"""Imports go one way: kapi <- kproxy, kendpoints, kdns, kingress <- netnslab."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.style.trees import tree

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "kapi": "api",
    "kproxy": "kproxy",
    "kendpoints": "endpoints",
    "kdns": "dns",
    "kingress": "ingress",
    "netnslab": "netns-lab",
}
MAY_IMPORT = {
    "kapi": set[str](),
    "kproxy": {"kapi"},
    "kendpoints": {"kapi"},
    "kdns": {"kapi"},
    "kingress": {"kapi"},
    "netnslab": set(PACKAGES),
}


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level names a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_lies_below_it(package: str) -> None:
    files = list((ROOT / PACKAGES[package] / package).rglob("*.py"))
    assert files, f"{package} has no modules"
    for file in files:
        ours = set(imported(tree(file))) & set(PACKAGES)
        assert ours <= MAY_IMPORT[package] | {package}, f"{file.relative_to(ROOT)} imports {ours}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_imported_relatively(package: str) -> None:
    for file in (ROOT / PACKAGES[package] / package).rglob("*.py"):
        for node in ast.walk(tree(file)):
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file.relative_to(ROOT)}: {node.lineno}"
