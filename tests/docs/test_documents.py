"""Every block of every document does what the document says."""

import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import PARSED, RUN, SHOWN, Block, Reader, blocks_of
from tests.docs.shell import Shell

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUTORIAL = ROOT / "docs" / "tutorial" / "first-project.md"
GUIDES = ROOT / "docs" / "how-to"

# A block may be left out for one of these reasons only.
NOT_RUN = {
    "clones and installs",
    "is what runs these blocks",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def runs(block: Block) -> bool:
    return block.not_run is None and block.title is None and block.language in RUN


def follow(path: Path, directory: Path, logs: Path, *, inside: str = ".") -> None:
    """Follow a document from its first block to its last, in a shell that starts inside the directory."""
    logs.mkdir()
    with Shell(directory / inside, logs) as shell:
        reader = Reader(directory / inside, shell)
        for block in blocks_of(path):
            try:
                reader.follow(block, path)
            except Exception as wrong:
                wrong.add_note(f"in the block at {name_of(path)}:{block.line}")
                raise


@pytest.fixture(scope="session")
def followed_tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a reader who has followed the tutorial."""
    place = tmp_path_factory.mktemp("tutorial")
    (place / "work").mkdir()
    follow(TUTORIAL, place / "work", place / "logs")
    return place / "work"


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path != TUTORIAL], ids=name_of)
def test_a_reader_who_follows_the_document_sees_what_it_shows(
    path: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    directory = tmp_path / "work"
    if path.parent == GUIDES and any(runs(block) for block in blocks_of(path)):
        # A guide starts where the tutorial ended, in the project's directory.
        shutil.copytree(
            request.getfixturevalue("followed_tutorial"), directory, ignore=shutil.ignore_patterns("*.sock")
        )
        follow(path, directory, tmp_path / "logs", inside="lender")
        return
    directory.mkdir()
    follow(path, directory, tmp_path / "logs")


def test_a_reader_who_follows_the_tutorial_sees_what_it_shows(followed_tutorial: Path) -> None:
    assert (followed_tutorial / "lender" / "streamgauge.toml").is_file()


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_block_says_what_it_is(path: Path) -> None:
    unknown = [
        f"{name_of(path)}:{block.line}" for block in blocks_of(path) if block.language not in RUN | PARSED | SHOWN
    ]
    assert not unknown, f"name a language of tests/docs/blocks.py: {unknown}"


def test_blocks_are_left_out_for_known_reasons_only() -> None:
    blocks = [block for path in DOCUMENTS for block in blocks_of(path)]
    assert {block.not_run for block in blocks if block.not_run is not None} == NOT_RUN


def test_the_documents_hold_blocks_that_run() -> None:
    assert any(runs(block) for path in DOCUMENTS for block in blocks_of(path))
