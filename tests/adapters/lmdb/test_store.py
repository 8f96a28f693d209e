import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from streamgauge.adapters.lmdb import rewriting
from streamgauge.adapters.lmdb import store as module
from streamgauge.adapters.lmdb.store import LmdbStateStore
from streamgauge.errors import SettingsError

LAYOUT = "a" * 64


def test_the_map_grows_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_MAP", 1 << 16)
    store = LmdbStateStore(tmp_path, LAYOUT)
    store.put_batch({f"account:{i}": bytes(50_000) for i in range(40)}, [b"score"], watermark=40)
    assert store.get("account:39") == bytes(50_000)
    assert [body for _, body in store.outbox_after(0, 10)] == [b"score"]
    store.close()


def test_a_reader_follows_a_map_that_the_owner_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_MAP", 1 << 16)
    owner = LmdbStateStore(tmp_path, LAYOUT)
    owner.put_batch({"account:0": b"small"})
    program = (
        "import sys; from pathlib import Path; from streamgauge.adapters.lmdb import store as module\n"
        "module._FIRST_MAP = 1 << 16\n"
        "reader = module.LmdbStateStore(Path(sys.argv[1]), 'a' * 64, readonly=True)\n"
        "print(reader.get('account:0').decode(), flush=True); input()\n"
        "print(len(reader.get('account:39')), flush=True)\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "small\n"
    owner.put_batch({f"account:{i}": bytes(50_000) for i in range(40)})
    out, _ = reader.communicate("\n", timeout=30)
    assert out == "50000\n"
    owner.close()


def test_the_outbox_keeps_its_newest_entries(tmp_path: Path) -> None:
    store = LmdbStateStore(tmp_path, LAYOUT, keep=5)
    for number in range(20):
        store.put_batch({}, [str(number).encode()])
    assert [body for _, body in store.outbox_after(0, 100)] == [b"15", b"16", b"17", b"18", b"19"]
    store.close()


def killed(folder: Path, writes: str) -> None:
    """Open a store in a process of its own, write, and die."""
    program = (
        "import os, sys; from pathlib import Path; from streamgauge.adapters.lmdb.store import LmdbStateStore\n"
        f"store = LmdbStateStore(Path(sys.argv[1]), 'a' * 64)\n{writes}\nos._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(folder)], check=False)


def test_what_a_killed_owner_wrote_is_there(tmp_path: Path) -> None:
    killed(tmp_path, "store.put_batch({'account:1': b'one'}, [b'score'], watermark=5)")
    store = LmdbStateStore(tmp_path, LAYOUT)
    assert (store.stale, store.get("account:1"), store.watermark()) == ("", b"one", 5)
    assert not store.unclean
    store.close()


def test_a_store_that_nobody_closes_is_walked_through_now_and_then(tmp_path: Path) -> None:
    found = []
    for _ in range(6):
        killed(tmp_path, "store.put_batch({'account:1': b'one'}, watermark=5); print(store.unclean)")
        (left,) = tmp_path.glob("open")
        found.append(left.read_text().split()[1:])
    assert found == [["proven", str(number)] for number in (0, 1, 2, 3, 4, 0)]


def test_an_owner_that_died_before_it_wrote_a_state_is_noticed(tmp_path: Path) -> None:
    killed(tmp_path, "store.put_batch({'account:1': b'one'}, watermark=5)")
    killed(tmp_path, "store.put_batch({}, [b'score'], applied=6)")
    store = LmdbStateStore(tmp_path, LAYOUT)
    assert store.unclean
    assert (store.get("account:1"), store.watermark(), store.applied()) == (b"one", 5, 6)
    store.close()
    assert not LmdbStateStore(tmp_path, LAYOUT).unclean


def test_after_the_machine_went_down_the_store_is_stale(tmp_path: Path) -> None:
    killed(tmp_path, "store.put_batch({'account:1': b'one'}, watermark=5)")
    store = LmdbStateStore(tmp_path, LAYOUT, boot="the next")
    assert "machine" in store.stale
    assert (store.get("account:1"), store.watermark()) == (None, 0)
    store.close()
    assert LmdbStateStore(tmp_path, LAYOUT, boot="one after it").stale == ""


def test_a_file_that_is_no_store_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"\x5a" * 40_960)
    store = LmdbStateStore(tmp_path, LAYOUT)
    assert "damaged" in store.stale
    assert (tmp_path / "broken-1" / "data.mdb").exists()
    store.put_batch({"account:1": b"one"})
    assert store.get("account:1") == b"one"
    store.close()


@pytest.mark.parametrize("left", [10_000, 200_000])
def test_a_file_that_was_cut_short_is_put_aside(tmp_path: Path, left: int) -> None:
    store = LmdbStateStore(tmp_path, LAYOUT)
    store.put_batch({f"account:{i}": bytes(5_000) for i in range(100)}, watermark=100)
    store.close()
    with (tmp_path / "data.mdb").open("r+b") as file:
        file.truncate(left)
    again = LmdbStateStore(tmp_path, LAYOUT)
    assert "damaged" in again.stale
    assert (again.get("account:1"), again.watermark()) == (None, 0)
    again.close()


def test_another_format_makes_the_store_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LmdbStateStore(tmp_path, LAYOUT)
    store.put_batch({"account:1": b"one"}, watermark=5)
    store.close()
    monkeypatch.setattr(module, "FORMAT", b"later")
    later = LmdbStateStore(tmp_path, LAYOUT)
    assert "format" in later.stale
    assert (later.get("account:1"), later.watermark()) == (None, 0)
    later.close()


def test_a_reader_of_nothing_says_what_to_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="streamgauge run"):
        LmdbStateStore(tmp_path / "nowhere", LAYOUT, readonly=True)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    LmdbStateStore(tmp_path, LAYOUT).close()
    reader = LmdbStateStore(tmp_path, LAYOUT, readonly=True)
    with pytest.raises(lmdb.ReadonlyError):
        reader.put_batch({"account:1": b"one"})
    reader.close()


def test_a_reader_follows_a_file_that_was_written_anew(tmp_path: Path) -> None:
    owner = LmdbStateStore(tmp_path / "store", LAYOUT)
    owner.put_batch({"account:0": b"one", "account:1": b"two"})
    program = (
        "import sys; from pathlib import Path; from streamgauge.adapters.lmdb.store import LmdbStateStore\n"
        "reader = LmdbStateStore(Path(sys.argv[1]), 'a' * 64, readonly=True)\n"
        "for _ in sys.stdin: print(reader.get('account:0'), reader.get('account:1'), flush=True)\n"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "store")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdin is not None
    assert reader.stdout is not None

    def asked() -> str:
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write("\n")
        reader.stdin.flush()
        return reader.stdout.readline().strip()

    assert asked() == "b'one' b'two'"
    owner.erase(["account:0"], lambda _: False)
    assert asked() == "None b'two'"
    owner.put_batch({"account:1": b"three"})
    assert asked() == "None b'three'"
    reader.communicate()
    owner.close()


@pytest.mark.parametrize("ended", ["unfinished", "finished"])
def test_an_erasure_that_was_cut_short_is_finished_or_undone(tmp_path: Path, ended: str) -> None:
    folder = tmp_path / "store"
    store = LmdbStateStore(folder, LAYOUT)
    store.put_batch({"account:0": b"one", "account:1": b"two"}, watermark=3)
    rewriting.rewrite(store._env, folder, rewriting.Cleaning({b"account:0"}, lambda _: False))
    store.close()
    if ended == "unfinished":
        (tmp_path / "store.swap").rename(tmp_path / "store.new")
    again = LmdbStateStore(folder, LAYOUT)
    assert again.get_many(["account:0", "account:1"]) == [b"one" if ended == "unfinished" else None, b"two"]
    assert (again.watermark(), again.stale) == (3, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]
    again.close()


def test_what_a_killed_reader_was_reading_is_let_go(tmp_path: Path) -> None:
    code = (
        "import sys, time, lmdb\n"
        "env = lmdb.open(sys.argv[1], readonly=True, max_dbs=3)\n"
        "txn = env.begin()\n"
        "print('reading', flush=True)\n"
        "time.sleep(60)\n"
    )
    store = LmdbStateStore(tmp_path, LAYOUT)
    reader = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"reading\n"
    reader.kill()
    reader.wait()
    reader.stdout.close()
    assert str(reader.pid) in store._env.readers()
    store.forget_readers()
    assert str(reader.pid) not in store._env.readers()
    store.close()
