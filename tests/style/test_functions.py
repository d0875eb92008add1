"""Functions are short, and no module keeps state: what changes lives in objects that somebody made."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.style.trees import tree

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "kproxy", "endpoints", "dns", "ingress", "netns-lab")
MOST_LINES = 50
MOST_LINES_OF_A_TEST = 60
CHANGING = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem"),
    *("popleft", "remove", "reverse", "setdefault", "sort", "update"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Scope = Function | ast.Lambda


def sources(*folders: str) -> list[Path]:
    """The Python files git knows, or would add: those called so, and scripts that say so in their first line."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    files = [path for name in names if (path := ROOT / name).is_file()]
    return [path for path in files if path.suffix == ".py" or (path.suffix == "" and _is_script(path))]


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"python" in first


def functions(tree: ast.AST) -> Iterator[Function]:
    """All functions of a module, those inside of others included."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def named(targets: list[ast.expr]) -> set[str]:
    """The names that an assignment binds."""
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def own(module: ast.Module) -> set[str]:
    """The names that a module assigns at its top."""
    found = set[str]()
    for node in module.body:
        if isinstance(node, ast.Assign):
            found |= named(node.targets)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign):
            found |= named([node.target])
    return found


def local(scope: Scope) -> set[str]:
    """The names that are a function's own: its parameters, and what it assigns."""
    parameters = {node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg)}
    stored = (node for node in ast.walk(scope) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return parameters | {node.id for node in stored}


def changed(node: ast.AST) -> str | None:
    """The name of what an expression or a statement changes in place, if it has one."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=method)) if method in CHANGING:
            return name
        case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
            return name
        case _:
            return None


def unbounded(function: Function) -> bool:
    """Whether a function remembers all that it was ever asked; one without parameters remembers one answer."""
    asked = any(isinstance(node, ast.arg) for node in ast.walk(function.args))
    words = {ast.unparse(decorator).removeprefix("functools.") for decorator in function.decorator_list}
    return asked and bool(words & {"cache", "lru_cache(maxsize=None)", "lru_cache(None)"})


@pytest.mark.parametrize(("folders", "most"), [((".", ":!tests"), MOST_LINES), (("tests",), MOST_LINES_OF_A_TEST)])
def test_no_function_is_too_long(folders: tuple[str, ...], most: int) -> None:
    long = {
        f"{file.relative_to(ROOT)} {function.name}": lines
        for file in sources(*folders)
        for function in functions(tree(file))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > most
    }
    assert not long


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_function_rebinds_a_global(folder: str) -> None:
    for file in sources(folder):
        for node in ast.walk(tree(file)):
            assert not isinstance(node, ast.Global), f"{file.relative_to(ROOT)}:{node.lineno} rebinds {node.names}"


@pytest.mark.parametrize("folder", PACKAGES)
def test_no_function_changes_what_belongs_to_its_module(folder: str) -> None:
    for file in sources(folder):
        module = tree(file)
        for scope in (node for node in ast.walk(module) if isinstance(node, Scope)):
            globals_ = own(module) - local(scope)
            found = {changed(node) for node in ast.walk(scope)} & globals_
            assert not found, f"{file.relative_to(ROOT)}:{scope.lineno} changes {found}"


@pytest.mark.parametrize("folder", PACKAGES)
def test_what_is_remembered_has_a_bound_or_a_comment_that_says_why_it_needs_none(folder: str) -> None:
    for file in sources(folder):
        text = file.read_text()
        for function in filter(unbounded, functions(tree(file))):
            lines = text.splitlines()[function.decorator_list[0].lineno - 2 : function.lineno - 1]
            assert any(re.search(r"#\s*\w", line) for line in lines), f"{file.relative_to(ROOT)}: {function.name}"
