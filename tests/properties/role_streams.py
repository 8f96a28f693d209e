"""Logs of events about several entities, as they come to the door: repeated, corrected, deleted, moved, imported.

Few cards, merchants and ids, so that entities meet often, and one id comes for different entities::

    Payment   card ─┐            Dispute   merchant ─┐
              merchant ├ card|merchant         card ──┴ card|merchant
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from msgspec import structs

from streamgauge.adapters.sqlite.log import SqliteLog
from streamgauge.definitions.loader import load_source
from streamgauge.events.record import NewRecord, Record
from streamgauge.events.validate import validate_one
from streamgauge.events.values import format_time
from tests.oracles.roles import Told
from tests.properties.features import among

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
LATENESS = 40
PROJECT = load_source(
    f"""
import streamgauge as sg

class Payment(sg.Event, lateness="{LATENESS}s", tolerance="2s"):
    id: sg.EventId
    card: sg.Entity
    merchant: sg.Entity
    at: sg.EventTime
    amount: sg.Money

class Dispute(sg.Event, feed=True, lateness="{LATENESS}s", tolerance="2s"):
    id: sg.EventId
    merchant: sg.Entity
    card: sg.Entity
    at: sg.EventTime
    payment: sg.Ref = sg.field(to=Payment, default=None)

class Card(sg.Features, entity=Payment.card, reach="60s"):
    n = Payment.all.count(over=["5s", "20s"])
    before = Payment.prior.sum(Payment.amount, over="20s")
    merchants = Payment.all.distinct(Payment.merchant, over="20s")
    top = Payment.prior.top_share(Payment.merchant, over="last 3")
    level = Payment.all.level(Payment.amount).mean(over="20s")
    ever = Payment.prior.count(over="life")
    disputes = Dispute.all.count(over="60s")

class Merchant(sg.Features, entity=Payment.merchant):
    n = Payment.all.count(over="20s")
    before = Payment.prior.max(Payment.amount, over="20s")
    cards = Payment.prior.distinct(Payment.card, over="60s")
    first = Payment.prior.time_since_first(over="life")
    rate = Dispute.all.count(over="60s") / Payment.all.count(over="60s")

class Both(sg.Features, entity=(Payment.merchant, Payment.card)):
    visits = Payment.prior.count(over="20s")
    known = Payment.prior.time_since_first(over="life")
    disputes = Dispute.all.count(over="60s")
    share = Payment.all.sum(Payment.amount, over="20s") / Card.before
    usual = sg.coalesce(Card.n["20s"] / Merchant.n, -1)
"""
)
CARDS, MERCHANTS, IDS = ("C", "C|1", "%"), ("M", "C"), "abcdef"
ACTIONS = (
    *(["new"] * 10),
    *("again", "again", "correct", "correct", "delete", "early", "conflict", "moved", "elsewhere", "elsewhere"),
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """An event at the door: when it comes, and whether it is imported."""

    new: NewRecord
    ids: dict[str, str]
    clock: int


@st.composite
def attempts(draw: st.DrawFn) -> list[Attempt]:
    """Draw what comes to the door, in order."""
    found: list[Attempt] = []
    clock = START
    for _ in range(draw(among(3, 15, 30))):
        clock += draw(among(0, 0, 0, 1, 1, 2, 5, 30)) * SECOND + draw(among(0, 0, 1, 500_000))
        action = draw(among(*ACTIONS))
        told = draw(st.sampled_from(found)) if found and action not in {"new", "early"} else None
        found.append(_attempt(draw, action, told, clock))
    return found


def _attempt(draw: st.DrawFn, action: str, told: Attempt | None, clock: int) -> Attempt:
    imported = draw(among(0, 0, 0, 0, 1)) == 1
    at = clock - draw(among(0, 0, 1, 2, 5, 20, *((60,) if imported else ()))) * SECOND
    stream = draw(among("Payment", "Payment", "Payment", "Dispute"))
    ids = {"card": draw(among(*CARDS)), "merchant": draw(among(*MERCHANTS))}
    event = {"stream": stream, "id": draw(among(*IDS)), "at": format_time(at), **ids, **_content(draw, stream)}
    if (sequence := draw(among(0, 0, 0, 1, -1))) != 0:
        event["sequence"] = sequence
    if told is not None:
        new, ids = told.new, dict(told.ids)
        event |= {"stream": new.stream, "id": new.event_id, "at": format_time(new.event_time), **ids}
        event = {name: value for name, value in event.items() if name not in {"amount", "payment"}}
        event |= _content(draw, new.stream)
        event["revision"] = new.revision
    if action in {"correct", "early"}:
        event["revision"] = draw(among(1, 2, 3))
    elif action == "delete":
        event |= {"revision": draw(among(1, 2, 3)), "op": "delete"}
    elif action == "moved":
        event["at"] = format_time(at)
    elif action == "elsewhere":
        ids["merchant" if draw(st.booleans()) else "card"] = "X"
        event |= ids
    new = told.new if told is not None and action == "again" else validate_one(event, PROJECT.streams)
    known = min(clock, new.event_time + draw(among(0, 1, 8)) * SECOND) if imported else None
    roles = PROJECT.streams[new.stream].roles
    return Attempt(structs.replace(new, declared_known_at=known), {role: ids[role] for role in roles}, clock)


def _content(draw: st.DrawFn, stream: str) -> dict[str, object]:
    if stream == "Payment":
        return {"amount": draw(among("0", "1.50", "-3", "99.99"))}
    return {"payment": draw(among(None, "a", "b"))}


@contextmanager
def logged(tried: list[Attempt]) -> Iterator[tuple[list[Told], SqliteLog]]:
    """Put attempts through a log, and give the events it accepted, and the log."""
    with tempfile.TemporaryDirectory() as folder, closing(SqliteLog(Path(folder) / "events.sqlite")) as log:
        for spec in PROJECT.streams.values():
            log.register_schema(spec)
        accepted: list[Told] = []
        for attempt in tried:
            [answer] = log.append([attempt.new], attempt.clock)
            if isinstance(answer, Record):
                accepted.append(Told(answer, attempt.ids))
        yield accepted, log
