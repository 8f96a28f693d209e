"""What the comparison with others rests on: that right is right, and that the page shows what was found."""

from __future__ import annotations

import json

from benchmarks.truth.exact import exact
from benchmarks.truth.run import BEGIN, END, PAGE, RESULTS, far, ours, section
from benchmarks.truth.scenario import HOUR, Arrival, Question, Scenario, draw


def test_every_answer_is_the_exact_one_in_disorder() -> None:
    whole = draw(4, disorder=True)
    scenario = Scenario(whole.arrivals, whole.questions[::5], whole.troubles)
    right = exact(scenario)
    answers = ours(scenario)
    assert list(answers["served"]) == right
    assert list(answers["trained"]) == right


def test_right_is_worked_out_by_hand() -> None:
    #   a 0.10 on the edge   b 0.20   c 5.00, then 0.30   d deleted   e not arrived
    arrivals = (
        Arrival(0, "a", "A", 0, 10),
        Arrival(HOUR, "b", "A", HOUR, 20),
        Arrival(HOUR, "b", "A", HOUR, 20),
        Arrival(2 * HOUR, "c", "A", HOUR, 500),
        Arrival(2 * HOUR, "d", "A", HOUR, 700),
        Arrival(3 * HOUR, "c", "A", HOUR, 30, 1, "replace"),
        Arrival(3 * HOUR, "d", "A", HOUR, 700, 1, "delete"),
        Arrival(25 * HOUR, "e", "A", HOUR, 900),
    )
    moments = [Question("A", t) for t in (0, 2 * HOUR, 24 * HOUR - 1, 24 * HOUR, 50 * HOUR)]
    assert exact(Scenario(arrivals, tuple(moments), {})) == [
        (1.0, 0.1, 0.1),
        (4.0, 12.3, 3.075),
        (3.0, 0.6, 0.2),
        (2.0, 0.5, 0.25),
        (0.0, 0.0, None),
    ]


def test_every_trouble_is_in_the_stream_and_none_in_order() -> None:
    assert all(draw(1, disorder=True).troubles.values())
    calm = draw(1, disorder=False)
    assert all(one.op == "insert" and one.known_at - one.event_time <= 2_000_000 for one in calm.arrivals)


def test_last_digits_are_told_from_other_numbers() -> None:
    assert not far(0.1 + 0.2, 0.3)
    assert far(0.3001, 0.3)
    assert far(None, 0.0)
    assert not far(None, None)


def test_the_page_shows_what_was_found() -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == section(json.loads(RESULTS.read_text()))
    ours_found = json.loads(RESULTS.read_text())["figures"]["Streamgauge"]
    assert not any(count for name, count in ours_found.items() if not name.endswith("values"))
