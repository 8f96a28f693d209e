"""The cost of an event at tiny sizes, and the ratio that is told."""

from benchmarks.linear import Cost, Size, backfill, compare, engine


def test_the_ratio_is_that_of_neighbouring_sizes() -> None:
    found = [(Size(10, 100), Cost([1e-6, 3e-6, 2e-6], [4e-6], 1_000)), (Size(100, 1_000), Cost([3e-6], [5e-6], 8_000))]
    first, second, growth = compare("ten times the accounts", "backfill", found)
    assert first.figure.median == 2e-6
    assert "4.0 µs elapsed; 10 bytes of memory an event, 100 an account" in first.note
    assert second.note.startswith("5.0 µs elapsed; 8 bytes")
    assert growth.figure.median == 1.5
    assert growth.note == "at 100 accounts, 1,000 events"


def test_both_are_measured_at_any_size() -> None:
    filled = backfill(Size(5, 200))
    assert len(filled.cpu) == 3
    assert min(filled.cpu) > 0
    streamed = engine(Size(5, 100), trees=5)
    assert streamed.cpu[0] > 0
    assert streamed.state > 100
