"""The pages that are made from the code say what the code does today."""

import tomllib
from pathlib import Path

import pytest

from streamgauge.app.settings import Settings, read_settings
from tests.docs.blocks import blocks_of
from tests.docs.reference import GENERATED, PAGES


@pytest.mark.parametrize("name", GENERATED)
def test_a_made_page_is_current(name: str) -> None:
    assert (PAGES / name).read_text() == GENERATED[name](), "write it anew: make reference"


def test_the_settings_shown_are_all_settings_with_their_defaults(tmp_path: Path) -> None:
    [block] = blocks_of(PAGES / "settings.md")
    path = tmp_path / "streamgauge.toml"
    path.write_text(block.source)
    shown, defaults = read_settings(path).model_dump(), Settings().model_dump()
    assert tomllib.loads(block.source).keys() == defaults.keys()
    assert shown.pop("project") == {"file": "credit.py", "data": defaults.pop("project")["data"]}
    assert shown == defaults


def test_every_reason_of_the_quarantine_is_explained() -> None:
    import re

    from streamgauge.log.port import Quarantined

    reasons = set(re.findall(r"[a-z]+(?:_[a-z]+)*", (Quarantined.__doc__ or "").partition("``")[2].partition("``")[0]))
    page = (PAGES / "errors.md").read_text()
    assert reasons == set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))
