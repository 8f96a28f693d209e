"""What every tracked file must keep."""

import ast
import re
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
LONGEST_FILE = 450
HOMES = re.compile(r"(?<![\w.~-])/(?:home|root|Users)/\w+")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="ignore")


def absolute_paths(text: str, surroundings: Path) -> list[str]:
    """The places in a text that exist on one machine only: home folders, and what surrounds the checkout."""
    found = HOMES.findall(text)
    if surroundings not in (Path("/"), Path(tempfile.gettempdir())):
        found += re.findall(rf"(?<![\w.~-]){re.escape(str(surroundings))}/[\w.-]+", text)
    return found


def packages() -> list[Path]:
    """The folders of modules; what `init` copies for a user is no module."""
    return sorted({path.parent for path in SOURCES.rglob("*.py") if "templates" not in path.parts})


def test_no_python_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if (lines := text_of(path).count("\n")) > LONGEST_FILE
    }
    assert not long, f"split these by noun: {long}"


def test_no_tracked_file_names_a_place_on_one_machine() -> None:
    assert absolute_paths(f"see /{'home'}/ann", Path("/")), "the search finds nothing"
    assert absolute_paths("see /srv/builds/data", Path("/srv/builds")), "the search finds nothing"
    named = {
        str(path.relative_to(ROOT)): found
        for path in tracked()
        if (found := absolute_paths(text_of(path), ROOT.parent))
    }
    assert not named


@pytest.mark.parametrize("package", packages(), ids=lambda package: str(package.relative_to(SOURCES)))
def test_every_package_says_what_lives_in_it(package: Path) -> None:
    opening = package / "__init__.py"
    assert opening.is_file(), f"{package.relative_to(ROOT)} has no __init__.py"
    assert ast.get_docstring(ast.parse(opening.read_text())), f"{opening.relative_to(ROOT)} has no docstring"


@pytest.mark.parametrize("noun", ["base", "common", "helpers", "manager", "utils"])
def test_no_module_is_named_for_nothing(noun: str) -> None:
    named = [str(path.relative_to(ROOT)) for path in SOURCES.rglob("*.py") if noun in path.stem.split("_")]
    assert not named
