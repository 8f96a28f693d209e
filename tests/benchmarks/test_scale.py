"""The page on scale shows what was measured, multiplied."""

from __future__ import annotations

import json

from benchmarks.scale import BEGIN, END, PAGE, RESULTS, section


def test_the_page_shows_what_was_measured() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == section(json.loads(RESULTS.read_text()))


def test_costs_are_multiplied_as_said() -> None:
    costs = {"stream s": 1e-4, "stream cpu s": 1e-4, "sealing cpu s": 1e-5, "reading cpu s": 1e-6, "cores": 2.0}
    sizes = {"archive bytes of an event": 50.0, "log bytes of an event": 200.0}
    state = {"state bytes of an event": 32.0, "events of an account": 100.0}
    told = section(costs | sizes | state)
    assert "| 5.8 |" in told  # 34,722 events a second at 100 µs each, on cores that are 60 % full
    assert "50 GB and 18.2 TB" in told
    assert "2.9 TB and 45 GB" in told
