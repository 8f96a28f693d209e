"""``protected`` and ``fairness``: attributes kept apart, and what becomes of people who have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from streamgauge.app.cli.options import (
    HERE,
    FileArgument,
    JsonOption,
    ModelOption,
    ProjectOption,
    choose_model,
    find,
    load,
)
from streamgauge.app.cli.terminal import say, show_json, show_table

if TYPE_CHECKING:
    from streamgauge.models.fairness_report import AttributeFairness, FairnessReport, Interval

app = typer.Typer(help="Protected attributes: import.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def protected() -> None:
    """Keep what no model may read apart, in a file that only its owner may read."""


@app.command("import", epilog="Example: streamgauge protected import people.csv --class Person")
def import_(
    file: FileArgument,
    *,
    name: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="The class that declares them; not needed if there is one."),
    ] = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Import protected attributes: a column of ids, and one for each attribute; all rows or none.

    An entity's earlier attributes are replaced. They are read by the fairness report alone.
    """
    from streamgauge.app.protecting import import_protected_file

    place = find(project)
    answer = import_protected_file(place, load(place), file, name)
    if json:
        show_json(answer)
        return
    kept = f"{answer.entities:,} are kept in {place.protected.name}"
    say(f"{answer.imported:,} entities of {answer.name} imported; {kept}.")


def fairness(*, model: ModelOption = None, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """Show what a model's features tell of protected attributes, and how it and its policy treat each group.

    Figures are of rows the model was not fitted on, with 95 % intervals; groups are compared with the most favoured.
    """
    from streamgauge.app.protecting import fairness as fairness_of

    place = find(project)
    loaded = load(place)
    report = fairness_of(place, loaded, choose_model(loaded, model))
    if json:
        show_json(report)
        return
    show_fairness(report)


def show_fairness(report: FairnessReport) -> None:
    """Show a fairness report as tables."""
    rows = [(one.attribute, one.known, one.unknown, _interval(one.auc), one.reference) for one in report.attributes]
    columns = ("attribute", "known of#", "unknown#", "AUC from the features", "compared with")
    show_table(columns, rows, title=f"{report.model} version {report.version}: {report.entities:,} entities")
    for attribute in report.attributes:
        _show_attribute(attribute, report)


def _show_attribute(attribute: AttributeFairness, report: FairnessReport) -> None:
    with_policy = report.approve_below is not None
    names = ["group", "entities#", "rows#", "bad rate#", "mean PD#", "difference, sd"]
    rows = []
    for one in attribute.groups:
        row = [one.group, one.entities, one.rows, one.bad_rate, one.mean_pd, _interval(one.mean_difference)]
        if with_policy:
            ratio = _interval(one.impact_ratio)
            adverse = f"{ratio} !" if one.adverse else ratio
            row += [f"{one.approved or 0.0:.1%}", adverse, _interval(one.opportunity_gap)]
        rows.append(row)
    if with_policy:
        names += ["approved#", "impact ratio", "opportunity gap"]
    show_table(tuple(names), rows, title=attribute.attribute)
    if any(one.adverse for one in attribute.groups):
        say(f"! Fewer than four fifths of {attribute.reference} are approved: look at why.")


def _interval(found: Interval | None) -> str:
    return "" if found is None else f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
