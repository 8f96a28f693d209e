from __future__ import annotations

import pytest
from starlette.requests import Request

from streamgauge.app.api.parameters import Parameters
from streamgauge.app.api.problems import Problem

NAMES = ("as_of", "position", "full", "wait")


def parameters(query: str) -> Parameters:
    scope = {"type": "http", "query_string": query.encode(), "headers": [], "path": "/", "method": "GET"}
    return Parameters(Request(scope), NAMES)


@pytest.mark.parametrize(
    ("query", "moment"),
    [
        ("as_of=1970-01-01T00:00:01Z", 1_000_000),
        ("as_of=1970-01-01T01:00:00%2B01:00", 0),
        ("as_of=1970-01-01T01:00:00+01:00", 0),
        ("as_of=1500000", 1_500_000),
        ("as_of=-5", -5),
        ("", None),
    ],
)
def test_a_moment_is_iso_text_or_microseconds(query: str, moment: int | None) -> None:
    assert parameters(query).moment("as_of") == moment


@pytest.mark.parametrize(
    "query",
    ["as_of=now", "as_of=", "as_of=2024-01-01T00:00:00", "as_of=9999999999999999999", "as_of=2024-13-01T00:00:00Z"],
)
def test_another_moment_is_refused_with_its_place(query: str) -> None:
    with pytest.raises(Problem) as refused:
        parameters(query).moment("as_of")
    assert refused.value.faults[0].place == "query.as_of"
    assert refused.value.kind.status == 422


@pytest.mark.parametrize("text", ["-1", "1.5", "9223372036854775808", "١", "1e3", "0x1", " 1"])  # noqa: RUF001
def test_an_integer_is_plain_digits_within_its_bounds(text: str) -> None:
    with pytest.raises(Problem, match="position"):
        parameters(f"position={text}").integer("position")


def test_an_unknown_name_gets_the_close_match() -> None:
    with pytest.raises(Problem) as refused:
        parameters("asof=1")
    assert 'Did you mean "as_of"?' in refused.value.detail


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        parameters("position=1&position=2")
    assert refused.value.faults[0].place == "query.position"


def test_flags_and_choices_take_what_they_list() -> None:
    assert parameters("full=true").flag("full")
    assert not parameters("").flag("full")
    assert parameters("wait=applied").choice("wait", ("applied",)) == "applied"
    with pytest.raises(Problem):
        parameters("full=yes").flag("full")
    with pytest.raises(Problem):
        parameters("wait=aplied").choice("wait", ("applied",))
