"""Every block of every document does what the document says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import PARSED, RUN, SHOWN, Block, Reader, blocks_of
from tests.docs.shell import Shell

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

# A block may be left out for one of these reasons only.
NOT_RUN = {
    "clones and installs",
    "is what runs these blocks",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    directory, logs = tmp_path / "work", tmp_path / "logs"
    directory.mkdir()
    logs.mkdir()
    with Shell(directory, logs) as shell:
        yield Reader(directory, shell)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_a_reader_who_follows_the_document_sees_what_it_shows(path: Path, reader: Reader) -> None:
    for block in blocks_of(path):
        try:
            reader.follow(block, path)
        except Exception as wrong:
            wrong.add_note(f"in the block at {name_of(path)}:{block.line}")
            raise


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
    def runs(block: Block) -> bool:
        return block.not_run is None and block.title is None and block.language in RUN

    assert any(runs(block) for path in DOCUMENTS for block in blocks_of(path))
