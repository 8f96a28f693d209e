"""What every `Log` must do with events of several entities, beside `log_conformance.CHECKS`: `ROLE_CHECKS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.events.record import NewRecord, Record
from streamgauge.events.render import render
from streamgauge.events.roles import expand
from streamgauge.events.validate import validate_one
from streamgauge.events.values import format_time
from streamgauge.log.port import Quarantined
from streamgauge.testing.streams import PAYMENT, ROLE_STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamgauge.log.port import Log

    Opener = Callable[[], Log]

NOW: Final = 1_767_225_600_000_000
"""When the checks take place: 2026-01-01T00:00:00Z."""


def payment(
    event_id: str, card: str = "C", merchant: str = "M", *, known_at: int | None = None, **fields: object
) -> NewRecord:
    """Return a payment at `NOW`."""
    event = {"stream": "Payment", "id": event_id, "card": card, "merchant": merchant, "at": format_time(NOW), **fields}
    if fields.get("op") != "delete":
        event.setdefault("amount", "9.90")
    return msgspec.structs.replace(validate_one(event, ROLE_STREAMS), declared_known_at=known_at)


def an_event_is_kept_under_each_of_its_entities(open_log: Opener) -> None:
    """One answer for each event; a record for each role and pair, one after another."""
    log = _opened(open_log)
    answers = log.append([payment("a", "C|1"), payment("b", "C2", "%")], NOW)
    first, second = (answer for answer in answers if isinstance(answer, Record))
    kept = log.read_after(0, 10)
    _expect(kept == [*expand(first, PAYMENT), *expand(second, PAYMENT)], "records follow as `expand` gives them")
    _expect([one.position for one in kept] == list(range(kept[0].position, kept[0].position + 6)), "without a gap")
    keys = ["card:C|1", "merchant:M", "card|merchant:C%7C1|M", "card:C2", "merchant:%", "card|merchant:C2|%25"]
    _expect([one.entity for one in kept] == keys, "primary first, then the other role, then the pair")
    _expect(len({one.digest for one in kept[:3]}) == 1, "they have one content")
    _expect(log.last_position() == kept[-1].position, "the last one has the last position")
    _expect(log.entities("card|merchant") == sorted([keys[2], keys[5]]), "a pair is a role of its own")
    _expect(log.entities("card") == sorted([keys[0], keys[3]]), "the role of a card is not the pair's")
    log.close()


def an_event_keeps_its_entities(open_log: Opener) -> None:
    """What says otherwise is quarantined whole, whichever commit it comes in."""
    log = _opened(open_log)
    log.append([payment("a")], NOW)
    others = {
        "another merchant": payment("a", merchant="N", revision=1),
        "another card at the merchant": payment("a", card="D"),
        "an import": payment("a", merchant="N", known_at=NOW),
        "a delete": payment("a", merchant="N", revision=1, op="delete"),
        "another time": payment("a", revision=1, at=format_time(NOW - 1)),
    }
    before = log.last_position()
    for answer, what in zip(log.append(list(others.values()), NOW), others, strict=True):
        _expect(isinstance(answer, Quarantined) and answer.reason == "identity_changed", f"{what} is quarantined")
    _expect(log.last_position() == before, "nothing of it is logged")
    [_, refused, accepted] = log.append([payment("b"), payment("b", merchant="N"), payment("b", revision=1)], NOW)
    _expect(isinstance(refused, Quarantined), "the records of one commit are held to each other")
    _expect(isinstance(accepted, Record), "the same entities are accepted again")
    [elsewhere] = log.append([payment("a", card="D", merchant="N")], NOW)
    _expect(isinstance(elsewhere, Record), "the id is free among other entities")
    log.close()
    log = _opened(open_log)
    [again] = log.append([payment("a", merchant="N", revision=2)], NOW)
    _expect(isinstance(again, Quarantined), "an opened log knows it still")
    log.close()


def a_deleted_event_says_whose_it_was(open_log: Opener) -> None:
    """A delete keeps the entities, and nothing else."""
    log = _opened(open_log)
    log.append([payment("a"), payment("a", revision=1, op="delete")], NOW)
    kept = log.read_entity("card|merchant:C|M")
    _expect(len(kept) == len(("insert", "delete")), "it is under every entity")
    told = {"stream": "Payment", "id": "a", "card": "C", "merchant": "M", "at": format_time(NOW)}
    _expect(render(kept[1], PAYMENT) == {**told, "revision": 1, "op": "delete"}, "it is rendered with its entities")
    log.close()


ROLE_CHECKS: Final = (
    an_event_is_kept_under_each_of_its_entities,
    an_event_keeps_its_entities,
    a_deleted_event_says_whose_it_was,
)
"""Every check."""


def _opened(open_log: Opener) -> Log:
    log = open_log()
    for spec in ROLE_STREAMS.values():
        log.register_schema(spec)
    return log


def _expect(condition: bool, law: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise AssertionError(f"This log breaks a law: {law}.")
