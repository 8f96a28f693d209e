"""``streamgauge``: every command in one place, and how any of them ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from streamgauge.app.cli import (
    doctor,
    erasing,
    events,
    exporting,
    keys,
    learning,
    policies,
    projects,
    protected,
    quarantine,
    schema,
    scoring,
    serving,
)
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from collections.abc import Callable

_INTERRUPTED = 130
_UNKEPT = "cannot cache function"  # so Numba begins, where neither the package nor the user's cache can be written


class Commands(TyperGroup):
    """The commands; what stops one is a sentence on standard error, never a traceback."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - as in Typer
        """Run a command; a refusal ends with code 1."""
        try:
            return super().invoke(ctx)
        except StreamgaugeError as error:
            _refuse(str(error))
        except OSError as error:
            if error.filename is None and isinstance(error, BrokenPipeError):
                raise
            place = f"{error.filename}: " if error.filename else ""
            _refuse(f"{place}{error.strerror or error}. Check the path, its permissions and the space on the disk.")
        except RuntimeError as error:
            if not str(error).startswith(_UNKEPT):
                raise
            _refuse("Compiled kernels cannot be kept. Set NUMBA_CACHE_DIR to a directory that can be written.")
        except KeyboardInterrupt as error:
            raise typer.Exit(_INTERRUPTED) from error


def _refuse(message: str) -> None:
    sys.stdout.flush()
    typer.secho("Error: ", err=True, nl=False, fg=typer.colors.RED, bold=True)
    typer.echo(message, err=True)
    raise typer.Exit(1)


app = typer.Typer(
    name="streamgauge",
    cls=Commands,
    no_args_is_help=True,
    # Plain help: Rich's reads a Markdown parser first, which alone costs half of what start-up may take.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
)


def _version(asked: bool) -> None:  # noqa: FBT001 - Typer's callback
    if asked:
        from importlib.metadata import version

        typer.echo(f"streamgauge {version('streamgauge')}")
        raise typer.Exit


@app.callback()
def streamgauge(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Streaming risk scoring: events in, point-in-time features, calibrated models, decisions that replay.

    A project is a directory with streamgauge.toml and one typed Python file. Every command works on the project in
    the current directory, or in the one that its -C names.
    """


def _add(name: str, command: Callable[..., None], example: str) -> None:
    app.command(name, epilog=f"Example: {example}")(command)


_add("init", projects.init, "streamgauge init lender --template credit")
_add("check", projects.check, "streamgauge check --json")
_add("import", events.import_, "streamgauge import movements.parquet --stream Movement --known-after 2h")
_add("ingest", events.ingest, "streamgauge ingest today.jsonl --stream Movement")
_add("export", exporting.export, "streamgauge export --stream Movement --out Movement.parquet")
_add("dataset", learning.dataset, "streamgauge dataset --model account-risk --out rows.parquet")
_add("train", learning.train, "streamgauge train --model account-risk")
_add("models", learning.models, "streamgauge models")
_add("run", serving.run, "streamgauge run --port 8000")
_add("score", scoring.score, "streamgauge score acc-000017 --model account-risk")
_add("features", scoring.features, "streamgauge features acc-000017 --as-of 2026-01-31T12:00:00Z")
_add("sql", exporting.sql, "streamgauge sql CashFlow.inflow_cv --as-of 2026-01-31T12:00:00Z > inflow_cv.sql")
_add("decide", scoring.decide, "streamgauge decide application.json --id d-2026-000017")
_add("verify", scoring.verify, "streamgauge verify --last 1000")
_add("portfolio", scoring.portfolio, "streamgauge portfolio --out scores.parquet")
_add("erase", erasing.erase, "streamgauge erase acc-000017 --yes")
_add("erasures", erasing.erasures, "streamgauge erasures")
_add("schema", schema.schema, "streamgauge schema --json")
app.add_typer(policies.app, name="policy")
app.add_typer(protected.app, name="protected")
_add("fairness", protected.fairness, "streamgauge fairness --model application-risk")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(keys.app, name="keys")
_add("demo", serving.demo, "streamgauge demo --for 60s --headless --json")
_add("doctor", doctor.doctor, "streamgauge doctor")


def main() -> None:
    """Run the command line."""
    app(prog_name="streamgauge")
