"""The site that `make docs` builds."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def pages_in(nav: object) -> set[str]:
    """The pages that a navigation leads to, however deep."""
    if isinstance(nav, str):
        return {nav}
    entries = nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else []
    return {page for entry in entries for page in pages_in(entry)}


def test_the_navigation_leads_to_every_page() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages_in(nav) == written
