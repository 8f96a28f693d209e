"""What is measured, and the two files it goes to."""

import json
from pathlib import Path

from benchmarks.measure import Report, Row, Spread, interleave, ratios
from benchmarks.report import shown, write


def report(name: str, seconds: float) -> Report:
    return Report(
        id=name,
        title="Something",
        size={"events": [1_000, 20_000]},
        goal="fast",
        checks=["all equal"],
        rows=[
            Row("ours", Spread.of([seconds, seconds / 2, seconds * 2]), "s"),
            Row("peer", Spread.of([1.0]), "s", Spread.of([1 / seconds])),
        ],
        notes=["on\n   two lines"],
    )


def test_each_repetition_begins_with_another() -> None:
    order: list[str] = []
    found = interleave(3, {name: lambda name=name: order.append(name) for name in "abc"}, warm_up=False)  # type: ignore[misc]
    assert "".join(order) == "abcbcacab"
    assert {name: len(values) for name, values in found.items()} == {"a": 3, "b": 3, "c": 3}


def test_ratios_are_taken_within_each_repetition() -> None:
    assert ratios([4.0, 9.0], [2.0, 3.0]) == Spread(2.5, 2.0, 3.0, 2)
    assert ratios([100.0], [50.0], more_is_better=True).median == 0.5


def test_figures_are_read_in_their_own_unit() -> None:
    assert shown(Spread(0.0000123, 0.00001, 0.00002, 2), "s") == "12.3 µs (10.0–20.0)"
    assert shown(Spread(2.5, 2.5, 2.5, 1), "×") == "2.50×"
    assert shown(Spread(1234.5, 1000, 2000, 3), "/s") == "1,234 /s (1,000–2,000)"
    assert shown(Spread(8e-15, 8e-15, 8e-15, 1), "") == "8.0e-15"


def test_what_was_not_run_keeps_its_last_results(tmp_path: Path) -> None:
    results, table = tmp_path / "results.json", tmp_path / "table.md"
    write([report("P9", 0.5), report("P3", 0.1)], quick=False, results=results, table=table)
    write([report("P3", 0.2)], quick=True, results=results, table=table)
    held = json.loads(results.read_text())["benchmarks"]
    assert list(held) == ["P3", "P9"]
    assert (held["P3"]["run"]["quick"], held["P9"]["run"]["quick"]) == (True, False)
    assert held["P3"]["rows"][0]["figure"]["median"] == 0.2
    assert {"machine", "versions", "commit"} <= held["P3"]["run"].keys()
    page = table.read_text()
    assert "| ours | 200 ms (100–400) |  |  |" in page
    assert "| peer | 1.00 s | 5.00× |  |" in page
    assert "- Size: events 1,000 and 20,000." in page
    assert "- on two lines" in page
