"""The tree keeps its shape, and the folder called dns never hides dnspython."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPONENTS = {
    "api": "kapi",
    "kproxy": "kproxy",
    "ingress": "kingress",
    "dns": "kdns",
    "endpoints": "kendpoints",
    "netns-lab": "netnslab",
}
MOST_LINES = 500
MOST_AT_ROOT = 18


def tracked(*patterns: str) -> list[Path]:
    """The files git knows, or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).exists()]


@pytest.mark.parametrize("folder", COMPONENTS)
def test_a_component_folder_holds_a_readme_and_exactly_one_package(folder: str) -> None:
    assert (ROOT / folder / "README.md").is_file()
    packages = [path.parent.name for path in (ROOT / folder).glob("*/__init__.py")]
    assert packages == [COMPONENTS[folder]]
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("folder", COMPONENTS)
def test_a_package_ships_its_types(folder: str) -> None:
    assert (ROOT / folder / COMPONENTS[folder] / "py.typed").is_file()


def test_the_dns_folders_never_become_a_package_called_dns() -> None:
    assert not (ROOT / "dns" / "__init__.py").exists()
    assert not (ROOT / "tests" / "dns").exists()
    assert not (ROOT / "tests" / "unit" / "dns").exists()


def test_importing_dns_at_the_root_never_finds_our_folder_as_a_regular_package() -> None:
    """`python -c` puts the root first on the path; a regular package there would hide dnspython."""
    code = "import importlib.util as u; s = u.find_spec('dns'); print(s.origin if s else None)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(ROOT) not in found.stdout


def test_no_module_is_too_long() -> None:
    long = {str(f.relative_to(ROOT)): n for f in tracked("*.py") if (n := f.read_text().count("\n")) > MOST_LINES}
    assert not long


def test_the_root_stays_small() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert len(top) <= MOST_AT_ROOT, sorted(top)


@pytest.mark.parametrize("folder", COMPONENTS)
def test_every_module_says_what_it_is_for(folder: str) -> None:
    for file in (ROOT / folder).rglob("*.py"):
        first = file.read_text().lstrip()
        assert first.startswith(('"""', "#!")), f"{file.relative_to(ROOT)} has no docstring"
