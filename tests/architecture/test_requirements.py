"""The pinned requirements: complete, hashed, and free of any registry's address."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
COMPILED = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?:\s*;[^\\]*)?\s*\\?$", re.MULTILINE)


def pins(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for match in PIN.finditer(path.read_text()):
        found.setdefault(canonicalize_name(match["name"]), set()).add(match["version"])
    return found


def wanted(path: Path) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def assert_pinned(requirements: list[Requirement], pinned: dict[str, set[str]]) -> None:
    assert requirements
    for requirement in requirements:
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement.name} is not pinned: make requirements"
        for version in versions:
            assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}: make requirements"


def test_the_core_pins_what_the_project_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert_pinned([Requirement(line) for line in declared], pins(ROOT / "requirements/core.txt"))


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.in")), ids=lambda path: path.stem)
def test_every_input_is_pinned(path: Path) -> None:
    assert_pinned(wanted(path), pins(path.with_suffix(".txt")))


def test_development_pins_agree_with_the_core() -> None:
    core = pins(ROOT / "requirements/core.txt")
    for name, versions in pins(ROOT / "requirements/dev.txt").items():
        assert versions == core.get(name, versions), f"dev.txt and core.txt differ on {name}: make requirements"


@pytest.mark.parametrize("path", COMPILED, ids=lambda path: path.stem)
def test_every_pin_has_its_hashes_and_no_address(path: Path) -> None:
    text = path.read_text()
    logical_lines = re.sub(r"\\\n", " ", text).splitlines()
    pinned = [line for line in logical_lines if line and not line.startswith("#")]
    assert pinned
    assert all("--hash=sha256:" in line for line in pinned)
    assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host", text)
