"""``policy``: what decides, and a changed policy needs no training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.app.cli.options import HERE, JsonOption, ModelOption, ProjectOption, find, load
from streamgauge.app.cli.protected import show_fairness
from streamgauge.app.cli.terminal import Progress, say, show_json, show_table

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.definitions.specs import ProjectSpec
    from streamgauge.models.policies import PolicyReport

app = typer.Typer(help="Policies: list, evaluate, register.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def policy(context: typer.Context, *, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """Judge the project file's policies by what they would have done, and put them in force; alone: list them."""
    if context.invoked_subcommand is None:
        _list(project, json=json)


@app.command("list", epilog="Example: streamgauge policy list")
def list_(*, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """List the policies that are in force, and those of the project file that are not."""
    _list(project, json=json)


@app.command("evaluate", epilog="Example: streamgauge policy evaluate --model application-risk --register")
def evaluate(
    *,
    model: ModelOption = None,
    register: Annotated[
        bool, typer.Option("--register", help="Put it in force: a running owner decides by it at once.")
    ] = False,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Show what the project file's policy would have done with the applications of calibration and test.

    Rates are over all applications, bad rates over those whose outcome is known. Where protected attributes were
    imported, the fairness report follows.
    """
    from streamgauge.app.protecting import fairness, has_protected
    from streamgauge.app.training import evaluate as evaluate_now

    place = find(project)
    loaded = load(place)
    with Progress() as progress:
        report, registered = evaluate_now(place, loaded, _model(loaded, model), register=register, progress=progress)
    fair = fairness(place, loaded, report.model) if has_protected(place, loaded, report.model) else None
    if json:
        version = None if registered is None else {"version": registered.version, "sha256": registered.sha256}
        show_json({"report": report, "registered": version, "fairness": fair})
        return
    _show(report)
    if fair is not None:
        show_fairness(fair)
    if registered is not None:
        say(f"Policy version {registered.version} of {registered.model} is in force ({registered.sha256[:12]}…).")


def _list(directory: Path, *, json: bool) -> None:
    from streamgauge.app.listing import listed_policies

    found = listed_policies(find(directory))
    if json:
        show_json(found)
    elif not found:
        say("No policy is declared, and none is registered. Declare a Policy in the project file.")
    else:
        rows = [
            (one.model, one.version, one.state, one.approve_below, one.refer_below, len(one.rules), one.sha256[:12])
            for one in found
        ]
        show_table(("model", "version#", "state", "approve PD <#", "refer PD <#", "rules#", "sha256"), rows)


def _model(project: ProjectSpec, name: str | None) -> str:
    from streamgauge.errors import UnknownName, close_match

    if name is not None:
        return name
    if len(project.policies) == 1:
        return next(iter(project.policies))
    raise UnknownName(f"Name a model with --model. With a policy: {close_match('', project.policies)}")


def _show(report: PolicyReport) -> None:
    rows = [
        (name, rate.applications, f"{rate.share:.1%}", rate.observed, rate.bads, rate.bad_rate)
        for name, rate in report.outcomes.items()
    ]
    columns = ("outcome", "applications#", "share#", "observed#", "bads#", "bad rate#")
    show_table(columns, rows, title=f"{report.model}: {report.applications:,} applications")
    grades = [
        (one.grade, one.below, one.applications, one.mean_pd, one.observed, one.bads, one.bad_rate, one.jeffreys)
        for one in report.grades
    ]
    if grades:
        names = ("grade", "PD below#", "applications#", "mean PD#", "observed#", "bads#", "bad rate#", "Jeffreys p#")
        show_table(names, grades)
    if report.rules:
        show_table(("rule", "fires#"), report.rules.items())
