"""``dataset``, ``train`` and ``models``: from the log to registered models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamgauge.app.cli.options import (
    HERE,
    JsonOption,
    ModelOption,
    PositionOption,
    ProjectOption,
    choose_model,
    find,
    load,
)
from streamgauge.app.cli.terminal import Progress, note, say, show_json, show_json_line, show_table

if TYPE_CHECKING:
    from streamgauge.app.settings import Place
    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.models.run import Report, TrainingRun
    from streamgauge.scoring.policy import RegisteredPolicy

_SHOWN: Final = 8
_FIGURES: Final = ("auc", "gini", "ks", "brier", "slope", "intercept")


def dataset(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="A .parquet, .csv or .jsonl file.")],
    model: ModelOption = None,
    position: PositionOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Write a model's rows: whom, as of when, knowing what, the label, and every feature under its own cut.

    With --position they are what they were when that was the log's last position: the rows a model was trained on.
    """
    from streamgauge.app.tables import check_target, write_table
    from streamgauge.app.training import dataset_of

    check_target(out)
    place = find(project)
    loaded = load(place)
    name = choose_model(loaded, model)
    with Progress() as progress:
        rows = dataset_of(place, loaded, name, progress, position)
        write_table(rows.frame, out)
    counts = rows.counts()
    if json:
        found = {"model": name, "out": str(out), "rows": len(rows), "labels": counts, "known": rows.known}
        show_json({**found, "last_position": rows.last_position, "moment": _iso(rows.moment)})
        return
    labels = ", ".join(f"{count:,} {label}" for label, count in counts.items() if count)
    say(f"{len(rows):,} rows of {name} ({labels}) as of {_iso(rows.moment)} in {out}.")


def train(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="MODEL", help="The model's name; may be repeated. Default: every model."),
    ] = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
    when_told: Annotated[bool, typer.Option("--when-told", hidden=True)] = False,
) -> None:
    """Train models from the log, report on them and register them; a running owner serves them at once.

    A model becomes champion if there is none of its name. One that a check refuses is not registered.
    """
    from streamgauge.app.training import train as train_now

    place = find(project)
    loaded = load(place)
    names = [choose_model(loaded, name) for name in model or loaded.models]
    if when_told:
        _train_when_told(place, loaded, names)
        return
    with Progress() as progress:
        runs = train_now(place, loaded, names, progress)
    if json:
        show_json(_trained(runs))
        return
    for run in runs:
        _show_run(run)


def models(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """List the registered models, with their figures and who is champion."""
    from streamgauge.app.connect import connect

    with Progress() as progress:
        service = connect(find(project), progress)
        try:
            found = service.models()
        finally:
            service.close()
    if json:
        show_json(found)
        return
    if not found:
        say("No model is registered yet. Train one: streamgauge train --model NAME.")
        return
    rows = [
        (
            one.name,
            one.version,
            one.champion,
            *(one.metrics.get(figure) for figure in ("auc", "gini", "ks")),
            one.known,
            one.trained_to,
            one.policy,
        )
        for one in found
    ]
    show_table(("model", "version#", "champion", "AUC#", "Gini#", "KS#", "known", "trained to", "policy#"), rows)


def _trained(runs: list[TrainingRun]) -> dict[str, object]:
    policies = [None if run.policy is None else _policy_of(run.policy) for run in runs]
    return {
        "trained": [
            {"registered": run.registered, "policy": policy, "report": run.report}
            for run, policy in zip(runs, policies, strict=True)
        ]
    }


def _policy_of(policy: RegisteredPolicy) -> dict[str, object]:
    return {"version": policy.version, "sha256": policy.sha256}


def _train_when_told(place: Place, project: ProjectSpec, names: list[str]) -> None:
    """Load and compile first, wait for a line on standard input, train, and tell each step on a line of its own.

    The demo starts its trainer so, while it still simulates.
    """
    import sys

    from streamgauge.app.compiling import compile_kernels
    from streamgauge.app.demo.warming import warm_up
    from streamgauge.app.service import quiet
    from streamgauge.app.training import train as train_now

    compile_kernels(quiet, from_end=True)
    warm_up(project)
    sys.stdin.readline()
    runs = train_now(place, project, names, lambda *step: show_json_line({"progress": step}))
    show_json_line({"answer": _trained(runs)})


def _show_run(run: TrainingRun) -> None:
    _show_report(run.report)
    registered = run.registered
    if registered is not None:
        champion = ", the champion" if registered.alias_champion else "; the champion stays"
        say(f"Registered {registered.name} version {registered.version}{champion} ({registered.sha256[:12]}…).")
    if run.policy is not None:
        say(f"Policy version {run.policy.version} decides with it.")


def _show_report(report: Report) -> None:
    rows = [
        (name, part.rows, part.bads, f"{part.bad_rate:.2%}", part.entities, _day(part.begins), _day(part.ends))
        for name, part in report.parts.items()
    ]
    show_table(("part", "rows#", "bads#", "bad rate#", "entities#", "from", "to"), rows, title=report.model)
    if report.sample is not None:
        kept = f"{report.sample.kept:,} of {report.sample.goods:,} good rows"
        say(f"Fitted on every bad and {kept} of the train part; log-odds moved back by {report.sample.shift:.4f}.")
    metrics = report.metrics
    figures = [(figure, getattr(metrics, figure)) for figure in _FIGURES]
    interval = f"{metrics.auc_low:.4f} to {metrics.auc_high:.4f} ({metrics.auc_method})"
    show_table((f"measured on {report.measured_on}", "value#"), [*figures, ("AUC, 95 %", interval)])
    leaks = [(leak.feature, leak.auc, leak.hindsight_auc, leak.maturity_z, leak.verdict) for leak in report.leaks]
    columns = ("feature", "AUC alone#", "hindsight adds#", "maturity z#", "leak check")
    show_table(columns, leaks[:_SHOWN], title=f"The {min(_SHOWN, len(leaks))} strongest of {len(leaks)} features")
    for warning in report.warnings:
        note(f"Note: {warning}")


def _iso(moment_us: int) -> str:
    from streamgauge.app.answers import iso

    return iso(moment_us)


def _day(moment_us: int | None) -> str | None:
    return None if moment_us is None else _iso(moment_us)[:10]
