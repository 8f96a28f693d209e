"""The demo in the terminal: phases while it prepares, then one live picture."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from streamgauge.app.cli.terminal import console, note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import RenderableType
    from rich.live import Live

    from streamgauge.app.demo.figures import Figures, Percentiles, Summary

_MOVERS: Final = 8
_PAPER: Final = 150
_RECENT: Final = 5_000
_COLOURS: Final = {"approve": "green", "refer": "yellow", "decline": "red"}


class Phases:
    """What is done before the stream, each with its seconds; overlapping ones are measured each by itself."""

    def __init__(self, *, draws: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._notes: dict[str, str] = {}
        self._draws = draws and sys.stderr.isatty()
        self._live: Live | None = None

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a phase."""
        self.begin(name)
        yield
        self.end(name)

    def begin(self, name: str) -> None:
        """Begin a phase."""
        self._begun[name] = time.monotonic()
        if self._draws and self._live is None:
            from rich.live import Live

            self._live = Live(get_renderable=self._picture, console=console(error=True), refresh_per_second=8)
            self._live.start()

    def end(self, name: str, remark: str = "") -> None:
        """End a phase."""
        self.seconds[name] = round(time.monotonic() - self._begun[name], 2)
        self._notes[name] = remark
        if not self._draws:
            note(f"{name}: {self.seconds[name]:.1f} s{f' ({remark})' if remark else ''}")

    def tell(self, what: str, done: int, total: int) -> None:
        """Show how far the phases under way are."""
        share = f" {done / total:.0%}" if total else ""
        for name in self._begun:
            if name not in self.seconds:
                self._notes[name] = f"{what}{share}"

    def close(self) -> None:
        """Leave the picture as it is."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> RenderableType:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, begun in list(self._begun.items()):
            done = self.seconds.get(name)
            mark = Text("✓", "green") if done is not None else Spinner("dots")
            seconds = time.monotonic() - begun if done is None else done
            table.add_row(mark, name, Text(f"{seconds:5.1f} s", "bold"), Text(self._notes.get(name, ""), "dim"))
        return table


class Screen:
    """The live picture; where nothing is drawn, it does nothing."""

    def __init__(self, figures: Figures, auc: dict[str, float], model: str, *, draws: bool) -> None:
        self._figures = figures
        self._auc = auc
        self._model = model
        self._live: Live | None = None
        if draws:
            from rich.live import Live

            self._live = Live(
                get_renderable=self.picture, console=console(), refresh_per_second=2, screen=sys.stdout.isatty()
            )
            self._live.start()

    def close(self) -> None:
        """Take the picture away, and leave its last state on the terminal."""
        if self._live is not None:
            self._live.stop()
            console().print(self.picture())
            self._live = None

    def save(self, path: Path) -> None:
        """Write the picture as it is now as an SVG, which names no font of another host."""
        import io
        import re

        from rich._export_format import CONSOLE_SVG_FORMAT
        from rich.console import Console

        paper = Console(record=True, width=_PAPER, file=io.StringIO(), color_system="truecolor", highlight=False)
        paper.print(self.picture())
        form = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
        path.write_text(paper.export_svg(title="streamgauge demo", code_format=form), encoding="utf-8")

    def picture(self) -> RenderableType:
        """Return the picture as it is now."""
        from rich.columns import Columns
        from rich.console import Group
        from rich.panel import Panel

        return Group(
            Panel(self._gauges(), title="Streamgauge: a simulated lender, live", border_style="blue"),
            Columns([Panel(self._movers(), title="Movers, last minute")], expand=True),
            Panel(self._decisions(), title="Decisions"),
        )

    def _gauges(self) -> RenderableType:
        from rich.table import Table

        figures = self._figures
        fresh, decided = figures.percentiles(recent=_RECENT)
        seconds = time.monotonic() - figures.streaming_since if figures.streaming_since else 0.0
        table = Table.grid(padding=(0, 3), expand=True)
        table.add_row(
            f"events/s [bold cyan]{figures.rate():,.0f}",
            f"events [bold]{figures.events:,}",
            f"scores [bold]{figures.scores:,}",
            f"decisions [bold]{figures.decisions:,}",
            f"streaming [bold]{seconds:,.0f} s",
        )
        table.add_row(
            f"fresh p50 [bold green]{_ms(fresh.p50)}",
            f"fresh p99 [bold green]{_ms(fresh.p99)}",
            f"decision p50 [bold green]{_ms(decided.p50)}",
            f"decision p99 [bold green]{_ms(decided.p99)}",
            f"quarantined [bold]{figures.quarantined:,}[/], duplicates [bold]{figures.duplicates:,}",
        )
        table.add_row(*(f"AUC {name} [bold]{auc:.3f}" for name, auc in self._auc.items()))
        return table

    def _movers(self) -> RenderableType:
        from rich.table import Table

        table = Table("account", "PD before", "PD now", "change", box=None, padding=(0, 2))
        for one in self._figures.movers(_MOVERS, self._model):
            change = one.now - one.before
            colour = "red" if change > 0 else "green"
            table.add_row(one.entity, f"{one.before:.2%}", f"{one.now:.2%}", f"[{colour}]{change:+.2%}")
        return table

    def _decisions(self) -> RenderableType:
        from rich.table import Table

        table = Table("application", "outcome", "PD", "points", "grade", "reasons", box=None, padding=(0, 2))
        for one in list(self._figures.latest):
            # A feature without a code of its own stands under its name, which its text repeats.
            named = [why.text if "." in why.code else f"{why.code} {why.text}" for why in one.reasons]
            reasons = "; ".join(named)
            outcome = f"[bold {_COLOURS.get(one.outcome, 'white')}]{one.outcome}"
            table.add_row(one.event_id, outcome, f"{one.pd:.2%}", f"{one.points:.0f}", one.grade or "–", reasons)
        return table


def show_summary(summary: Summary) -> None:
    """Print the end of a demo for a reader."""
    from streamgauge.app.cli.terminal import show_table

    verify = summary.verify
    first = summary.seconds_to_first_score
    rows = [
        ("live events", f"{summary.events:,} at {summary.events_per_second:,.0f} a second"),
        ("freshness", _both(summary.freshness_ms)),
        ("decisions", f"{summary.decisions:,}, {_both(summary.decision_ms)}"),
        ("AUC", ", ".join(f"{name} {auc:.3f}" for name, auc in summary.auc.items())),
        ("verified", f"{verify.checked:,} checked, {verify.match:,} match, {verify.mismatch:,} do not"),
        ("first live score", "none" if first is None else f"after {first:.1f} s"),
        ("quarantined, duplicates", f"{summary.quarantined:,}, {summary.duplicates:,}"),
    ]
    show_table(("", "summary"), rows)


def _both(one: Percentiles) -> str:
    return f"p50 {_ms(one.p50)}, p99 {_ms(one.p99)}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"
