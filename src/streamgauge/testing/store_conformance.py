"""What every `StateStore` must do; an adapter's test derives from `StateStoreConformance`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamgauge.features.store import StateStore


class StateStoreConformance:
    """The checks, for pytest: derive, name the class ``Test…`` and give `open_store`."""

    def open_store(self, folder: Path, layout_digest: str) -> StateStore:
        """Open or create a store of the adapter under test, kept in ``folder``."""
        raise NotImplementedError

    def test_a_new_store_is_empty_and_fits(self, tmp_path: Path) -> None:
        """Nothing is there, and nothing has to be rebuilt."""
        store = self.open_store(tmp_path, "a" * 64)
        assert (store.get("account:1"), store.watermark(), list(store.entities())) == (None, 0, [])
        assert (store.stale, store.unclean, store.layout_digest) == ("", False, "a" * 64)
        assert store.outbox_after(0, 10) == []
        assert store.outbox_newest() == 0
        store.close()

    def test_a_batch_is_there_after_reopening(self, tmp_path: Path) -> None:
        """States, outbox and watermark outlive the process."""
        store = self.open_store(tmp_path, "a" * 64)
        last = store.put_batch({"account:1": b"one", "account:2": b""}, [b"x", b"y"], watermark=7)
        store.close()
        again = self.open_store(tmp_path, "a" * 64)
        assert again.get_many(["account:2", "account:3", "account:1"]) == [b"", None, b"one"]
        assert (again.watermark(), again.unclean, again.stale) == (7, False, "")
        assert [body for _, body in again.outbox_after(0, 10)] == [b"x", b"y"]
        assert again.outbox_after(0, 10)[-1][0] == last
        assert again.outbox_newest() == last
        again.close()

    def test_what_is_erased_is_nowhere_on_the_disk(self, tmp_path: Path) -> None:
        """Its bytes too; everything else is as it was, for whoever reads meanwhile too."""
        folder = tmp_path / "store"
        store = self.open_store(folder, "a" * 64)
        numbers = 3_000
        states = {f"account:{number}": f"state of {number}".encode() * 20 for number in range(numbers)}
        store.put_batch(states, [b"score of 7", b"score of 8"], watermark=7, applied=8)
        store.put_batch({"account:7": b"SECRET" * 300}, [b"SECRET"])
        store.put_batch({"account:6": b"another"})
        assert store.erase(["account:7", "account:nobody"], lambda body: b"SECRET" in body or b"of 7" in body) == 2
        assert store.get("account:7") is None
        assert store.get("account:6") == b"another"
        assert len(list(store.entities())) == numbers - 1
        assert [body for _, body in store.outbox_after(0, 10)] == [b"score of 8"]
        assert (store.watermark(), store.applied(), store.outbox_newest()) == (7, 8, 3)
        assert store.put_batch({"account:7": b"anew"}, [b"later"]) == 4
        store.close()
        held = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert b"SECRET" not in held
        assert b"state of 7state" not in held
        again = self.open_store(folder, "a" * 64)
        assert (again.get("account:7"), again.stale, again.unclean) == (b"anew", "", False)
        again.close()

    def test_a_batch_without_a_watermark_leaves_it(self, tmp_path: Path) -> None:
        """A rebuild moves it at its end only."""
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch({}, watermark=9)
        store.put_batch({"account:1": b"one"})
        assert store.watermark() == 9
        store.close()

    def test_a_batch_is_applied_before_its_states_are_stored(self, tmp_path: Path) -> None:
        """Scores and the applied position come with each batch, states and the watermark at checkpoints."""
        store = self.open_store(tmp_path, "a" * 64)
        assert store.applied() == 0
        store.put_batch({}, [b"score"], applied=7)
        assert (store.applied(), store.watermark()) == (7, 0)
        store.put_batch({"account:1": b"one"}, watermark=5)
        store.close()
        again = self.open_store(tmp_path, "a" * 64)
        assert (again.applied(), again.watermark()) == (7, 5)
        again.put_batch({}, watermark=9)
        assert again.applied() == 9
        again.clear()
        assert (again.applied(), again.watermark()) == (0, 0)
        again.close()

    def test_many_entries_of_the_outbox_are_read_from_any_number(self, tmp_path: Path) -> None:
        """A batch may hold thousands."""
        store = self.open_store(tmp_path, "a" * 64)
        bodies = [str(number).encode() for number in range(1, 1_001)]
        assert store.put_batch({}, bodies) == store.outbox_newest()
        numbered = store.outbox_after(0, 10_000)
        assert [body for _, body in numbered] == bodies
        for at in (0, 1, 255, 256, 257, 998):
            assert store.outbox_after(numbered[at][0], 3) == numbered[at + 1 : at + 4]
        store.close()

    def test_numbers_of_the_outbox_rise_and_are_read_in_order(self, tmp_path: Path) -> None:
        """A reader resumes after the number that it saw last."""
        store = self.open_store(tmp_path, "a" * 64)
        first = store.put_batch({}, [b"a"])
        last = store.put_batch({}, [b"b", b"c"])
        assert last > first
        assert [body for _, body in store.outbox_after(first, 1)] == [b"b"]
        assert [body for _, body in store.outbox_after(first, 5)] == [b"b", b"c"]
        assert store.outbox_after(last, 5) == []
        assert store.put_batch({}) == last
        store.close()

    def test_clearing_drops_states_and_not_the_numbers(self, tmp_path: Path) -> None:
        """A subscriber that resumes sees no number twice."""
        store = self.open_store(tmp_path, "a" * 64)
        first = store.put_batch({"account:1": b"one"}, [b"a"], watermark=3)
        store.clear()
        assert (store.get("account:1"), store.watermark(), list(store.entities())) == (None, 0, [])
        assert store.put_batch({}, [b"b"]) > first
        store.close()

    def test_deleted_states_are_gone(self, tmp_path: Path) -> None:
        """Deleting what is not there is no error."""
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch({"account:1": b"one", "account:2": b"two"})
        store.delete(["account:1", "account:9"])
        assert list(store.entities()) == ["account:2"]
        store.close()

    def test_keys_of_any_length_and_alphabet_come_back(self, tmp_path: Path) -> None:
        """An entity's id is the sender's business."""
        names = ["account:" + "x" * 600, "account:" + "x" * 599 + "y", "client:Ωλ", "account:", "account:" + "é" * 400]
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch({name: name.encode() for name in names})
        assert sorted(store.entities()) == sorted(names)
        assert store.get_many(names) == [name.encode() for name in names]
        store.close()

    def test_every_entity_is_listed_once(self, tmp_path: Path) -> None:
        """Also where the listing is read in pages."""
        names = [f"account:{i:05d}" for i in range(2_500)]
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch(dict.fromkeys(names, b"state"))
        assert sorted(store.entities()) == names
        store.close()

    def test_the_states_of_a_role_come_in_order_of_their_keys(self, tmp_path: Path) -> None:
        """All of them, those with very long keys last, and no other role's."""
        names = [f"account:{i:05d}" for i in range(4_500)]
        long = ["account:" + "x" * 600, "account:" + "é" * 400]
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch({name: name.encode() * 3 for name in [*names, *long, "accounts:1", "acc:1", "z" * 600]})
        pages = list(store.states("account:"))
        found = [
            (key, bytes(page.states.data[start:end]))
            for page in pages
            for key, start, end in zip(page.keys, page.states.starts, page.states.ends, strict=True)
        ]
        assert [key for key, _ in found[: len(names)]] == names
        assert sorted(key for key, _ in found[len(names) :]) == long
        assert all(state == key.encode() * 3 for key, state in found)
        assert store.count() == len(names) + 5
        assert list(store.states("nobody:")) == []
        store.close()

    def test_another_layout_makes_the_store_stale_and_empty(self, tmp_path: Path) -> None:
        """States of another layout cannot be read: the owner rebuilds."""
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch({"account:1": b"one"}, watermark=3)
        store.close()
        other = self.open_store(tmp_path, "b" * 64)
        assert "layout" in other.stale
        assert (other.get("account:1"), other.watermark()) == (None, 0)
        other.close()
        assert self.open_store(tmp_path, "b" * 64).stale == ""

    def test_a_reader_sees_whole_batches(self, tmp_path: Path) -> None:
        """Two states written together are never seen apart."""
        store = self.open_store(tmp_path, "a" * 64)
        store.put_batch({"account:1": b"0", "account:2": b"0"})
        torn: list[object] = []

        def read() -> None:
            for _ in range(300):
                one, two = store.get_many(["account:1", "account:2"])
                if one != two:
                    torn.append((one, two))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(50):
            body = str(number).encode()
            store.put_batch({"account:1": body, "account:2": body})
        reader.join()
        assert torn == []
        store.close()
