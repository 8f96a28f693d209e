"""Where in the user's file a definition, or a mistake, stands."""

from __future__ import annotations

import ast
import inspect
import linecache
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamgauge.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_OWN: Final = __file__.removesuffix("place.py")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file."""

    path: str
    line: int

    def argument(self, name: str) -> Place:
        """Return the place of a call's keyword argument, where the call starts on this line."""
        for node in ast.walk(_parse(self.path)):
            if isinstance(node, ast.Call | ast.ClassDef) and node.lineno == self.line:
                for keyword in node.keywords:
                    if keyword.arg == name:
                        return Place(self.path, keyword.value.lineno)
        return self

    def member(self, name: str) -> Place:
        """Return the place of a name's definition in the class whose statement starts on this line."""
        for node in ast.walk(_parse(self.path)):
            if isinstance(node, ast.ClassDef) and node.lineno == self.line:
                for item in node.body:
                    if name in _targets(item):
                        return Place(self.path, item.lineno)
        return self


def caller() -> FrameType | None:
    """Return the innermost frame outside this package: the user's."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return frame


def here() -> Place:
    """Return the place of the user's line that is being executed."""
    frame = caller()
    return Place("", 0) if frame is None else Place(frame.f_code.co_filename, frame.f_lineno)


def refuse(message: str, place: Place | None = None, *, argument: str = "") -> DefinitionError:
    """Return the error for a mistake at a place, by default the line being executed.

    Args:
        message: What was wrong with the value, where, and the next step.
        place: Where the definition starts.
        argument: The keyword argument of the definition that holds the mistake.
    """
    return _error(DefinitionError, message, place, argument)


def shown(value: object) -> str:
    """Return how a message shows a value of the user's.

    >>> shown("x"), shown([1])
    ("'x'", 'a list')
    """
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    name = value.__name__ if isinstance(value, type) else type(value).__name__
    return f"the class {name}" if isinstance(value, type) else f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


@contextmanager
def placed(place: Place, argument: str) -> Iterator[None]:
    """Let a mistake found within be one in this argument of the definition at this place."""
    try:
        yield
    except DefinitionError as error:
        raise refuse(error.message, place, argument=argument) from None


def _error(kind: type[DefinitionError], message: str, place: Place | None, argument: str) -> DefinitionError:
    at = place or here()
    if argument:
        at = at.argument(argument)
    return kind(message, path=at.path, line=at.line)


def _targets(item: ast.stmt) -> list[str]:
    if isinstance(item, ast.AnnAssign):
        return [ast.unparse(item.target)]
    return [ast.unparse(target) for target in item.targets] if isinstance(item, ast.Assign) else []


def _parse(path: str) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(path)))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])
