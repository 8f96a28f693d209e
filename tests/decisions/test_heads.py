import os
from pathlib import Path

import pytest

from streamgauge.decisions.chain import EMPTY, Head
from streamgauge.decisions.heads import HeadFile

HEADS = [Head(seq, f"{seq:064x}") for seq in (1, 2, 40, 41, 1_000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.heads"
    heads = HeadFile(path)
    for head in HEADS:
        heads.append(head)
    heads.close()
    return path


def test_an_empty_file_has_the_head_of_an_empty_chain(tmp_path: Path) -> None:
    heads = HeadFile(tmp_path / "new.heads")
    assert heads.tail().head == EMPTY
    assert list(heads.heads()) == []
    heads.close()


def test_heads_come_back_in_order(path: Path) -> None:
    heads = HeadFile(path)
    assert list(heads.heads()) == HEADS
    assert heads.tail().head == HEADS[-1]
    heads.close()


def test_the_tail_of_a_long_file_is_found(tmp_path: Path) -> None:
    heads = HeadFile(tmp_path / "long.heads")
    many = [Head(seq, f"{seq:064x}") for seq in range(1, 1_001)]
    for head in many:
        heads.append(head)
    assert heads.tail().head == many[-1]
    assert list(heads.heads()) == many
    heads.close()


def test_a_write_cut_short_is_overwritten_by_the_next(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    heads = HeadFile(path)
    tail = heads.tail()
    assert tail.head == HEADS[-2]
    assert tail.rest == whole.splitlines(keepends=True)[-1][:-10]
    heads.append(HEADS[-1])
    heads.close()
    assert path.read_bytes() == whole


def test_a_head_that_did_not_reach_the_disk_is_written_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_file: int) -> None:
        raise OSError("No space left on device")

    heads = HeadFile(path)
    heads.append(Head(1_001, "ab" * 32))
    with monkeypatch.context() as disk:
        disk.setattr(os, "fdatasync", full)
        with pytest.raises(OSError, match="No space"):
            heads.sync()
    heads.append(Head(1_001, "ab" * 32))
    heads.sync()
    assert list(heads.heads()) == [*HEADS, Head(1_001, "ab" * 32)]
    heads.close()


def test_every_changed_byte_of_a_line_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        heads = HeadFile(path)
        assert None in list(heads.heads()), at
        heads.close()
