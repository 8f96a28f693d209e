"""From a log's records to the live events of a moment: identity, then the highest visible revision under the cut."""

from __future__ import annotations

from collections.abc import Sequence

from streamgauge.definitions.roles import members
from streamgauge.definitions.schema import StreamSpec
from streamgauge.features.sql.terms import duration, indented, quoted, text


def live_name(stream: StreamSpec, role: str) -> str:
    """Return the table of a stream's live events read under a role."""
    return quoted(f"live_{stream.name}" + (f"_of_{role}" if role != stream.entity else ""))


def live_events(stream: StreamSpec, table: str, roles: Sequence[str] = ("",)) -> list[str]:
    """Return the CTEs that end in the tables of a moment's live events of a stream, up to t.

    Args:
        stream: The stream, in its present form.
        table: What holds its exported records: a table's name, or a file's in quotes.
        roles: The roles that the stream is read under; ``("",)`` where all moments have the same.
    """
    name = stream.name
    return [
        f"""\
-- {name} 1: acceptance was decided as each record arrived, by the record alone:
-- -{duration(stream.tolerance_us)} <= known_at - event_time <= {duration(stream.lateness_us)}.
-- What remains is identity. An id is remembered until event_time + lateness; a live record known later is another event
-- of that id, an imported one never is. So each record, in order of position, finds the event it is about: the one
-- that `begun`, a position, began.
{quoted(f"told_{name}")} AS (
    SELECT *, row_number() OVER (PARTITION BY entity, event_id ORDER BY position) AS nth
    FROM {table} WHERE stream = {text(name)}
)""",
        f"""\
{quoted(f"found_{name}")} AS (
    SELECT entity, event_id, nth, position AS begun, event_time AS happened
    FROM {quoted(f"told_{name}")} WHERE nth = 1
    UNION ALL
    SELECT entity, event_id, nth, CASE WHEN another THEN position ELSE begun END,
        CASE WHEN another THEN event_time ELSE happened END
    FROM (
        SELECT r.*, before.begun, before.happened,
            NOT r.imported AND r.known_at > before.happened + r.lateness AS another
        FROM {quoted(f"found_{name}")} before JOIN {quoted(f"told_{name}")} r
            ON r.entity = before.entity AND r.event_id = before.event_id AND r.nth = before.nth + 1
    )
)""",
        f"""\
-- {name} 2: another event_time is refused (identity_changed); of a revision the first record stands (a repetition
-- changes nothing, other content is a conflict).
{quoted(f"applied_{name}")} AS MATERIALIZED (
    SELECT r.*, f.begun
    FROM {quoted(f"told_{name}")} r JOIN {quoted(f"found_{name}")} f USING (entity, event_id, nth)
    WHERE r.event_time = f.happened
    QUALIFY row_number() OVER (PARTITION BY entity, event_id, begun, revision ORDER BY position) = 1
)""",
        *(_live(stream, role) for role in roles),
    ]


def _live(stream: StreamSpec, role: str) -> str:
    name = stream.name
    under = f" AND m.role = {text(role)}" if role else ""
    return f"""\
-- {name} 3: an event is its highest revision visible under the cut; if that is a delete, there is none.
{live_name(stream, role or stream.entity)} AS MATERIALIZED (
    SELECT * FROM (
        SELECT m.moment, m.t, a.*,
            coalesce(m.observed_stream = {text(name)} AND m.observed_id = a.event_id, FALSE)
                AND a.begun = max(a.begun) OVER (PARTITION BY m.moment, a.event_id) AS observed
        FROM moments m JOIN {quoted(f"applied_{name}")} a ON a.entity = m.entity{under}
        WHERE CASE WHEN m.known IS NULL THEN a.position <= m.position
              ELSE a.known_at < m.known OR (a.known_at = m.known AND a.position <= m.position) END
        QUALIFY row_number() OVER (PARTITION BY m.moment, a.event_id, a.begun ORDER BY a.revision DESC) = 1
    )
    WHERE op <> 'delete' AND event_time <= t
)"""


def moments_of_all(tables: Sequence[str], role: str, roles: Sequence[str], as_of_us: int, entity: str | None) -> str:
    """Return the CTE ``moments``: every entity of a role, or one, as of one moment, knowing all that was exported.

    Args:
        tables: The tables of exported records.
        role: The role or pair whose entities are asked for.
        roles: The roles that are read; beside a pair's own, those of its two entities.
        as_of_us: As of when, µs.
        entity: The one entity's id, or None.
    """
    keep = f"entity = {text(f'{role}:{entity}')}" if entity is not None else f"starts_with(entity, {text(role + ':')})"
    found = "\nUNION ".join(f"SELECT DISTINCT entity FROM {table}" for table in dict.fromkeys(tables))
    others = len(roles) > 1
    keys = ",\n".join(f"    ({text(one)}, {_key(one, role)})" for one in roles)
    crossed = f" CROSS JOIN LATERAL (VALUES\n{keys}\n    ) read(role, key)" if others else ""
    return f"""\
-- Whom, as of when (t), knowing what: the records up to a position or, where `known` is given, those whose
-- (known_at, position) is not beyond it. A read has no observed event.
moments AS MATERIALIZED (
    SELECT {"entity AS moment, role, key AS entity" if others else "entity AS moment, entity"},
        {as_of_us}::BIGINT AS t, {2**63 - 1} AS position, NULL::BIGINT AS known,
        NULL::VARCHAR AS observed_stream, NULL::VARCHAR AS observed_id
    FROM (
{indented(found, 8)}
    ){crossed}
    WHERE {keep}
)"""


def _key(role: str, whole: str) -> str:
    """Return the key of a role's entity, of a pair's or of the entity itself; a pair's ids are escaped in its own."""
    if role == whole:
        return "entity"
    escaped = f"split_part(substr(entity, {len(whole) + 2}), '|', {members(whole).index(role) + 1})"
    return f"{text(role + ':')} || replace(replace({escaped}, '%7C', '|'), '%25', '%')"
