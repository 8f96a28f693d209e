"""What a command shows: results on standard output, as tables or JSON; progress and errors on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType

    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_PATIENCE_S: Final = 0.5
_WIDE: Final = 160


def show_json(value: object) -> None:
    """Print a value as one JSON document on standard output."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show_json_line(value: object) -> None:
    """Print a value as JSON on one line of standard output, for a reader that goes on reading."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode("utf-8") + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Print a sentence on standard output."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Print a sentence on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def console(*, error: bool = False) -> Console:
    """Return a Rich console; a pipe is given room instead of a terminal's 80 columns."""
    from rich.console import Console

    stream = sys.stderr if error else sys.stdout
    return Console(stderr=error, width=None if stream.isatty() else _WIDE, highlight=False)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print a table; columns whose name ends in ``#`` are numbers and stand to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name.removesuffix("#"), justify="right" if name.endswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    console().print(table)


def shown(value: object) -> str:
    """Return a value as a table shows it.

    >>> shown(None), shown(12345), shown(0.12345), shown(True)
    ('–', '12,345', '0.1235', 'yes')
    """
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".") if abs(value) < _MANY else f"{value:,.0f}"
    return str(value)


_MANY: Final = 1_000_000.0


class Progress:
    """Progress bars on standard error, where that is a terminal and the work takes longer than half a second.

    It is what the service tells its progress: ``progress(what, done, total)``.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._shows = sys.stderr.isatty()
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show how far something is."""
        if not self._shows or time.monotonic() - self._begun < _PATIENCE_S:
            return
        bars = self._started()
        task = self._tasks.get(what)
        if task is None:
            task = self._tasks[what] = bars.add_task(what, total=total or None)
        bars.update(task, completed=done, total=total or None)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()

    def _started(self) -> Bars:
        if self._bars is None:
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bars

            columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
            self._bars = Bars(*columns, TimeElapsedColumn(), console=console(error=True), transient=True)
            self._bars.start()
        return self._bars
