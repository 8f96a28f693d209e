"""``export`` and ``sql``: the log as a table, and what a feature means as a query over it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from streamgauge.app.cli.options import HERE, AsOfOption, JsonOption, ProjectOption, StreamOption, find, load, moment
from streamgauge.app.cli.terminal import Progress, say, show_json

OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The .parquet file to write.")]
EntityOption = Annotated[
    str | None, typer.Option("--entity", "-e", metavar="ID", help="Only this entity. Default: every one.")
]


def export(*, stream: StreamOption, out: OutOption, project: ProjectOption = HERE, json: JsonOption = False) -> None:
    """Write a stream's records into a Parquet file: as the log holds them, each with when it became known.

    Repetitions, corrections and deletes are records of their own. Payload columns are exact integers, as
    `streamgauge sql` explains them; texts are beside them.
    """
    from streamgauge.app import wiring
    from streamgauge.app.exporting import export_stream
    from streamgauge.errors import UnknownName, close_match

    place = find(project)
    streams = load(place).streams
    if stream not in streams:
        raise UnknownName(f'Unknown stream "{stream}". {close_match(stream, streams)}')
    with Progress() as progress, closing(wiring.open_log(place)) as log:
        count = export_stream(log, streams[stream], out, progress)
    if json:
        show_json({"stream": stream, "out": str(out), "records": count})
    else:
        say(f"{count:,} records of {stream} in {out}.")


def sql(
    feature: Annotated[str, typer.Argument(metavar="FEATURE", help="A feature's full name: CashFlow.inflow_cv.")],
    *,
    as_of: AsOfOption = None,
    entity: EntityOption = None,
    project: ProjectOption = HERE,
    json: JsonOption = False,
) -> None:
    """Print what a feature means, as one commented DuckDB query over exported records.

    The query shares nothing with the code that computes the feature, and gives the same bits.
    """
    from streamgauge.app import wiring
    from streamgauge.errors import UnknownName, close_match
    from streamgauge.events.values import format_time
    from streamgauge.features.sql.query import feature_sql

    loaded = load(find(project))
    features = dict(loaded.features)
    for model in loaded.models.values():
        features.update({one.name: one for one in model.features if one.name not in features})
    if feature not in features:
        raise UnknownName(f'Unknown feature "{feature}". {close_match(feature, features)}')
    as_of_us = moment(as_of)
    moment_us = wiring.SystemClock().now_us() if as_of_us is None else as_of_us
    shown = format_time(moment_us)
    query = feature_sql(features[feature], loaded.streams, moment_us, shown, entity)
    if json:
        show_json({"feature": feature, "entity": entity, "as_of": shown, "query": query})
    else:
        say(query.rstrip())
