"""Query parameters: each known, at most once, of its type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from streamgauge.app.api.problems import Problem
from streamgauge.errors import EventRejected, close_match
from streamgauge.events.values import EARLIEST_US, LATEST_US, parse_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

_NAIVE: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ][\d:.]+)?")
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_LOST_PLUS: Final = re.compile(r"(.*T.*) ([0-9]{2}:?[0-9]{2})")
_LARGEST: Final = 2**63 - 1
_SHOWN: Final = 60
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False}


class Parameters:
    """The query parameters of one request."""

    def __init__(self, request: Request, known: Sequence[str]) -> None:
        """Take the parameters.

        Raises:
            Problem: One is unknown, or given twice.
        """
        self._values: dict[str, str] = {}
        if not request.scope["query_string"]:
            return
        for name, value in request.query_params.multi_items():
            if name not in known:
                detail = f'There is no parameter "{_shown(name)}" here. {close_match(name[:_SHOWN], known)}'
                raise Problem.at("invalid-parameter", "query", detail)
            if name in self._values:
                raise _wrong(name, f"{name} is given more than once. Give it once.")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """Return a text, or None."""
        value = self._values.get(name)
        if value == "":
            raise _wrong(name, f"{name} is empty. Leave it out, or give it a value.")
        return value

    def integer(self, name: str, low: int = 0, high: int = _LARGEST) -> int | None:
        """Return an integer between two bounds, or None."""
        value = self.text(name)
        if value is None:
            return None
        number = int(value) if _INTEGER.fullmatch(value) else None
        if number is None or not low <= number <= high:
            raise _wrong(name, f'{name} is "{_shown(value)}". Give an integer from {low} to {high}.')
        return number

    def flag(self, name: str) -> bool:
        """Return a truth value, False where there is none."""
        value = self.text(name)
        if value is None:
            return False
        if value not in _TRUTH:
            raise _wrong(name, f'{name} is "{_shown(value)}". Give true or false.')
        return _TRUTH[value]

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """Return one of some texts, or None."""
        value = self.text(name)
        if value is not None and value not in choices:
            raise _wrong(name, f'{name} is "{_shown(value)}". {close_match(value[:_SHOWN], choices)}')
        return value

    def moment(self, name: str) -> int | None:
        """Return a moment in µs since the epoch, from ISO-8601 text with a zone or from an integer, or None."""
        value = self.text(name)
        if value is None:
            return None
        if _INTEGER.fullmatch(value):
            number = int(value)
            if not EARLIEST_US <= number <= LATEST_US:
                raise _wrong(name, f"{name} is {number} µs, outside the years 1 to 9999.")
            return number
        lost = _LOST_PLUS.fullmatch(value)  # an unescaped + of a zone arrives as a space
        text = f"{lost[1]}+{lost[2]}" if lost else value
        try:
            return parse_time(text, None, name, name)
        except EventRejected as error:
            if _NAIVE.fullmatch(text):
                raise _wrong(name, f"{name} has no zone. Write it with one, as {_shown(text)}Z.") from error
            raise _wrong(name, f"{error} Or give µs since 1970 as an integer.") from error


def _wrong(name: str, detail: str) -> Problem:
    return Problem.at("invalid-parameter", f"query.{name}", detail)


def _shown(text: str) -> str:
    head = text[:_SHOWN]
    return head if head.isprintable() else head.encode("unicode_escape").decode("ascii")
