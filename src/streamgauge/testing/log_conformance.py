"""What every `Log` must do.

Each check takes a function that opens the same log, empty at first: called again after `close`, it opens what was kept.
`CHECKS` lists them all::

    @pytest.mark.parametrize("check", CHECKS)
    def test_it_conforms(check, tmp_path):
        check(lambda: MyLog(tmp_path / "log"))
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.definitions.texts import open_code
from streamgauge.errors import UnknownName
from streamgauge.events.arrival import Arrival
from streamgauge.events.record import NewRecord, Record
from streamgauge.events.validate import validate_one
from streamgauge.events.values import format_time
from streamgauge.log.port import Log, Quarantined, Retried
from streamgauge.testing.streams import DAY_US, EVERYTHING, MOVEMENT, STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    Opener = Callable[[], Log]

NOW: Final = 1_767_225_600_000_000
"""When the checks take place: 2026-01-01T00:00:00Z."""

_SECOND: Final = 1_000_000


def movement(
    event_id: str, account: str = "A-1", ago_us: int = 0, known_at: int | None = None, **fields: object
) -> NewRecord:
    """Return a movement that happened so long before `NOW`."""
    event = {
        "stream": "Movement",
        "id": event_id,
        "account": account,
        "booked_at": format_time(NOW - ago_us),
        "amount": "-12.50",
        "kind": "card",
        "counterparty": "acme",
        **fields,
    }
    return msgspec.structs.replace(validate_one(event, STREAMS), declared_known_at=known_at)


def an_empty_log_holds(open_log: Opener) -> None:
    """Nothing is there."""
    log = open_log()
    _expect(log.last_position() == 0, "the last position of an empty log is 0")
    _expect(log.last_accepted_at() == 0, "an empty log accepted nothing, at 0")
    _expect(log.read_after(0, 10) == [], "an empty log reads as nothing")
    _expect(log.read_entity("account:A-1") == [] and log.entities() == [], "an empty log has no entities")
    _expect(list(log.read_by_entity()) == [], "an empty log yields no entities")
    _expect(log.find("Movement", "account:A-1", "m-1") is None and log.get(1) is None, "an empty log finds nothing")
    _expect(log.quarantined() == [] and log.quarantine_counts() == {}, "an empty log refused nothing")
    _expect(log.append([], NOW) == [] and log.quarantine([]) == [], "appending nothing answers nothing")
    log.close()


def records_come_back_as_accepted(open_log: Opener) -> None:
    """Every attribute, by every way of reading, also after opening again."""
    log = _opened(open_log)
    new = [
        movement("m-1"),
        movement("m-ü", ago_us=5, sequence=-7, revision=3),
        movement("m-1", revision=9, op="delete"),
    ]
    answers = _accepted(log.append(new, NOW))
    for given, record in zip(new, answers, strict=True):
        for name in given.__struct_fields__:
            if name != "declared_known_at":
                _expect(getattr(record, name) == getattr(given, name), f"{name} comes back as it was given")
        _expect(record.accepted_at == record.known_at == NOW, "a live record is known when it is accepted")
        _expect(not record.imported, "a live record is not imported")
    for reopened in (False, True):
        if reopened:
            log.close()
            log = open_log()
        _expect(log.read_after(0, 10) == answers, "read_after gives what append answered")
        _expect(log.read_entity("account:A-1") == answers, "read_entity gives what append answered")
        _expect(list(log.read_by_entity()) == [("account:A-1", answers)], "read_by_entity gives what append answered")
        _expect([log.get(record.position) for record in answers] == answers, "get gives what append answered")
        _expect(log.last_position() == answers[-1].position, "the last position is the newest record's")
        _expect(log.last_accepted_at() == NOW, "the last accepted_at is the newest record's")
    log.close()


def positions_increase_in_the_order_of_appending(open_log: Opener) -> None:
    """Within a batch, from batch to batch, and over a restart; the order of event times does not matter."""
    log = _opened(open_log)
    positions: list[int] = []
    ids: list[str] = []
    for batch in range(4):
        ids += [f"m-{batch}-{i}" for i in range(5)]
        new = [movement(f"m-{batch}-{i}", f"A-{i % 2}", ago_us=(i + batch * 7) % 5 * DAY_US) for i in range(5)]
        positions += [record.position for record in _accepted(log.append(new, NOW + batch))]
        if batch == 1:
            log.close()
            log = _opened(open_log)
    _expect(positions == sorted(set(positions)) and positions[0] > 0, "positions are positive and strictly increase")
    _expect([r.event_id for r in log.read_after(0, 100)] == ids, "records are read in the order they were appended")
    _expect([r.event_id for r in log.read_after(positions[6], 3)] == ids[7:10], "read_after starts behind its position")
    _expect(log.read_after(positions[-1], 3) == [], "nothing is behind the last position")
    log.close()


def an_event_may_be_held_more_than_once(open_log: Opener) -> None:
    """Identity is decided where state is applied; `find` gives the first record."""
    log = _opened(open_log)
    new = [movement("m-1"), movement("m-1", revision=2), movement("m-1"), movement("m-1", "A-2"), movement("m-2")]
    answers = _accepted(log.append(new, NOW))
    _expect(len(answers) == len(new), "a repeated id is accepted")
    _expect(log.find("Movement", "account:A-1", "m-1") == answers[0], "find gives the first record of an event")
    _expect(log.find("Movement", "account:A-2", "m-1") == answers[3], "an id belongs to its entity")
    _expect(log.find("Everything", "account:A-1", "m-1") is None, "an id belongs to its stream")
    _expect(log.find("Movement", "account:A-1", "m-3") is None, "an id that never came is not found")
    log.close()


# −tolerance                known_at                                  lateness
#     |–––––––––––––––––––––––|––––––––––––––––––––––––––––––––––––––––|
#  accepted     event_time may lie anywhere here, ends included
def the_acceptance_test_holds(open_log: Opener) -> None:
    """Both ends are accepted, a µs beyond is quarantined in its place, with number, reason and body."""
    log = _opened(open_log)
    late, early = MOVEMENT.lateness_us, MOVEMENT.tolerance_us
    ago = {"late": late, "too late": late + 1, "now": 0, "early": -early, "too early": -early - 1}
    answers = log.append([movement(name, ago_us=span) for name, span in ago.items()], NOW)
    _expect(
        [type(answer) for answer in answers] == [Record, Quarantined, Record, Record, Quarantined],
        "answers come in the order of the records, refused ones in their place",
    )
    refused = [answer for answer in answers if isinstance(answer, Quarantined)]
    _expect([item.reason for item in refused] == ["too_late", "too_early"], "the reasons are too_late and too_early")
    _expect(log.quarantined(last=5) == refused[::-1], "what append refused is in the quarantine, newest first")
    _expect(all(item.number > 0 and item.at == NOW for item in refused), "a refused record has a number and a moment")
    _expect('"too late"' in refused[0].body and "-12.50" in refused[0].body, "a refused record's body is its event")
    _expect(log.quarantine_counts() == {"too_early": 1, "too_late": 1}, "refused records are counted by reason")
    _expect(len(log.read_after(0, 10)) == 3, "refused records are not in the log")
    log.close()


def imports_declare_when_they_became_known(open_log: Opener) -> None:
    """known_at = min(declared, accepted_at), and the acceptance test uses it: so history passes."""
    log = _opened(open_log)
    year = 365 * DAY_US
    past, future = NOW - year + _SECOND, NOW + _SECOND
    answers = log.append(
        [
            movement("history", ago_us=year, known_at=past),
            movement("future", known_at=future),
            movement("late", ago_us=year, known_at=NOW),
        ],
        NOW,
    )
    first, second, third = answers
    _expect(
        isinstance(first, Record) and (first.known_at, first.accepted_at) == (past, NOW), "history keeps its arrival"
    )
    _expect(isinstance(second, Record) and second.known_at == NOW, "nothing is known before the log accepted it")
    _expect(all(isinstance(r, Record) and r.imported for r in (first, second)), "imported records say so")
    _expect(isinstance(third, Quarantined) and third.reason == "too_late", "an import can be too late as well")
    log.close()


def accepted_at_never_decreases(open_log: Opener) -> None:
    """Not within an entity, when the clock steps back or over a restart; other entities go by the clock."""
    log = _opened(open_log)
    log.append([movement("m-1")], NOW)
    earlier = movement("m-2"), movement("m-2", "A-2", ago_us=DAY_US), movement("m-3", "A-2", ago_us=DAY_US)
    behind, other, again = _accepted(log.append(earlier, NOW - DAY_US))
    _expect(other.accepted_at == again.accepted_at == NOW - DAY_US, "an entity is accepted by the clock at once")
    log.close()
    log = _opened(open_log)
    (reopened,) = _accepted(log.append([movement("m-3")], NOW - 2 * DAY_US))
    (other,) = _accepted(log.append([movement("m-4", "A-2", ago_us=2 * DAY_US)], NOW - 2 * DAY_US))
    _expect(other.accepted_at == NOW - DAY_US, "an entity waits for its own last record only")
    (third,) = _accepted(log.append([movement("m-1", "A-3", ago_us=2 * DAY_US)], NOW - 2 * DAY_US))
    _expect(third.accepted_at == third.known_at == NOW - 2 * DAY_US, "an entity is accepted by the clock at once")
    (ahead,) = _accepted(log.append([movement("m-4")], NOW + 1))
    _expect(behind.accepted_at == reopened.accepted_at == NOW, "accepted_at holds while the clock is behind it")
    _expect(ahead.accepted_at == log.last_accepted_at() == NOW + 1, "accepted_at follows the clock again")
    log.close()


def entities_are_read_one_after_another(open_log: Opener) -> None:
    """In order of their keys or as named, each in order of position, all under one cut."""
    log = _opened(open_log)
    new = [movement(f"m-{i:03d}", f"A-{i * 7 % 300}", ago_us=i * _SECOND) for i in range(600)]
    answers = _accepted(log.append(new, NOW))
    expected: dict[str, list[Record]] = {}
    for record in answers:
        expected.setdefault(record.entity, []).append(record)
    keys = sorted(expected, key=str.encode)
    _expect(log.entities() == keys == log.entities("account"), "entities are sorted")
    _expect(log.entities("acc") == [] and log.entities("card") == [], "another role has no entities")
    _expect(
        list(log.read_by_entity()) == [(key, expected[key]) for key in keys], "all entities come in order of their key"
    )
    cut = answers[400].position
    visible = {key: [r for r in records if r.position <= cut] for key, records in expected.items()}
    _expect(
        list(log.read_by_entity(up_to=cut)) == [(key, visible[key]) for key in keys if visible[key]],
        "a cut leaves out later records, and entities that have none yet",
    )
    named = [keys[5], "account:nobody", keys[1]]
    _expect(
        list(log.read_by_entity(named)) == [(key, expected.get(key, [])) for key in named],
        "named entities come as named, with nothing for an unknown one",
    )
    _expect(log.read_entity(keys[3], cut) == visible[keys[3]], "read_entity takes a cut")
    _expect(log.read_entity(keys[3], 0) == [], "nothing is visible at position 0")
    log.close()


def a_running_read_does_not_see_later_records(open_log: Opener) -> None:
    """`read_by_entity` decides its cut when it starts, also without `up_to`."""
    log = _opened(open_log)
    log.append([movement(f"m-{i}", f"A-{i:04d}") for i in range(1_000)], NOW)
    reading = log.read_by_entity()
    seen = [next(reading)]
    log.append([movement("late", "A-0999"), movement("new", "A-9999")], NOW)
    seen += list(reading)
    _expect([len(records) for _, records in seen] == [1] * 1_000, "records appended during a read stay out of it")
    log.close()


def columns_begin_behind_a_position(open_log: Opener) -> None:
    """`read_columns` reads no record up to ``after``, and no entity that has none behind it."""
    log = _opened(open_log)
    log.append([movement(f"m-{i}", f"A-{i % 5}") for i in range(20)], NOW)
    names = {log.register_schema(spec): spec.name for spec in STREAMS.values()}
    found = [group for batch in log.read_columns(after=16) for group in batch.groups(names)]
    _expect([entity for entity, _ in found] == [f"account:A-{i}" for i in range(1, 5)], "only who has later records")
    _expect([record.position for _, (record,) in found] == [17, 18, 19, 20], "only the later records")
    log.close()


def the_quarantine_keeps_what_was_refused(open_log: Opener) -> None:
    """In order of arrival, over a restart, texts bounded and valid; a position only once."""
    log = _opened(open_log)
    item = Quarantined("Movement", "account:A-1", "m-1", "missing_field", "no amount", '{"id": "m-1"}', NOW)
    conflict = replace(item, reason="conflict", position=7)
    numbers = log.quarantine([item, conflict, item, conflict])
    _expect(len(set(numbers)) == 3 and numbers[3] == numbers[1], "a position is stored once")
    _expect(log.quarantine([replace(conflict, detail="again")]) == [numbers[1]], "a stored position keeps its number")
    huge_body = "\ud800" + "é" * 500_000
    (huge,) = log.quarantine([replace(item, body=huge_body, detail="x" * 100_000, event_id="\udfff")])
    log.close()
    log = open_log()
    _expect(log.quarantined(number=numbers[1]) == [replace(conflict, number=numbers[1])], "a number gives its item")
    _expect(log.quarantined(number=10**6) == [], "an unknown number gives nothing")
    _expect([i.number for i in log.quarantined(last=2)] == [huge, numbers[2]], "the newest come first")
    kept = log.quarantined(number=huge)[0]
    _expect(len(kept.body.encode()) <= 262_144 and not kept.whole, "a body is bounded, and says that it was cut")
    _expect(log.quarantine_counts() == {"conflict": 1, "missing_field": 3}, "counts are by reason")
    log.close()


def refused_events_are_tried_again(open_log: Opener) -> None:
    """A success resolves an item, a failure keeps it with the newer reason, a contradiction goes into it."""
    log = _opened(open_log)
    item = Quarantined("Movement", "account:A-1", "m-1", "missing_field", "no amount", "{}", NOW, field="amount")
    first, second, third = log.quarantine([item, replace(item, arrival=Arrival(known_after_us=5)), item])
    newer = replace(item, reason="wrong_type", detail="no number", number=log.quarantine([item])[0])
    [contradiction] = log.quarantine([replace(item, reason="conflict", detail="other content", position=9)])
    now = log.retried(
        [
            Retried(first, NOW + 1, position=8),
            Retried(second, NOW + 1, newer=newer),
            Retried(third, NOW + 1, position=9),
        ]
    )
    log.close()
    log = open_log()
    _expect(log.quarantined(last=9) == now[::-1], "what became of them is durable, and each event is held once")
    resolved, kept, contradicted = now
    _expect((resolved.resolved, resolved.resolved_at, resolved.reason) == (8, NOW + 1, "missing_field"), "resolved")
    _expect((kept.reason, kept.detail, kept.retries, kept.resolved) == ("wrong_type", "no number", 1, None), "kept")
    _expect(kept.arrival == Arrival(known_after_us=5) and kept.retriable, "a row keeps how it came")
    _expect((contradicted.reason, contradicted.position) == ("conflict", 9), "a contradiction does not resolve")
    _expect(log.quarantined(number=contradiction) == [] and not contradicted.retriable, "it is one item")
    _expect(log.quarantine_counts() == {"conflict": 1, "wrong_type": 1}, "counts are of open ones")
    _expect(log.quarantined(resolved=True) == [resolved], "resolved ones are found")
    _expect(log.quarantined(reason="wrong_type", stream="Movement", resolved=False) == [kept], "open ones are found")
    _expect(log.quarantined(before=third, last=1) == [kept], "pages go back from a number")
    log.close()


def schemas_are_numbered_by_their_form(open_log: Opener) -> None:
    """The same form has the same number for ever, another form another, and records name theirs."""
    log = open_log()
    first = log.register_schema(MOVEMENT)
    _expect(log.register_schema(MOVEMENT) == first, "the same form has the same number")
    _expect(log.register_schema(replace(MOVEMENT, doc="other words")) == first, "a docstring is no part of the form")
    (old,) = _accepted(log.append([movement("m-1")], NOW))
    shorter = replace(MOVEMENT, fields=MOVEMENT.fields[:1])
    second = log.register_schema(shorter)
    other = log.register_schema(EVERYTHING)
    _expect(len({first, second, other}) == 3, "every form has its own number")
    event = {"stream": "Movement", "id": "m-2", "account": "A-1", "booked_at": format_time(NOW), "amount": 1}
    (new,) = _accepted(log.append([validate_one(event, {"Movement": shorter})], NOW))
    log.close()
    log = open_log()
    _expect((old.schema, new.schema) == (first, second), "records name the schema they were written under")
    _expect([r.schema for r in log.read_after(0, 9)] == [first, second], "also when they are read again")
    _expect(log.schema(first) == MOVEMENT and log.schema(second) == shorter, "a number gives the stream as declared")
    _expect(log.register_schema(MOVEMENT) == first, "a form that returns has its old number")
    _expect(_raises(lambda: log.schema(10**6)), "an unknown number is an UnknownName")
    log.close()


def a_stream_must_be_registered(open_log: Opener) -> None:
    """Nothing of a batch is accepted if a record's stream was not registered."""
    log = open_log()
    _expect(_raises(lambda: log.append([movement("m-1")], NOW)), "an unregistered stream is an UnknownName")
    _expect(log.last_position() == 0, "nothing was accepted")
    log.close()


def texts_of_open_categories_are_kept(open_log: Opener) -> None:
    """By their hash, over a restart; keys and references are not."""
    log = _opened(open_log)
    event = {"stream": "Everything", "id": "1", "account": "A", "at": format_time(NOW), "key": "secret"}
    log.append([validate_one({**event, "country": text}, STREAMS) for text in ("CH", "Köln", "CH")], NOW)
    log.append([validate_one(event, STREAMS)], NOW)
    log.close()
    log = open_log()
    _expect(
        [log.text_of(int(open_code(text))) for text in ("CH", "Köln")] == ["CH", "Köln"],
        "texts are found by their finished value",
    )
    _expect(log.text_of(int(open_code("secret"))) is None, "the text of a key is not kept")
    _expect(log.text_of(0) is None, "an unknown hash has no text")
    log.close()


def threads_append_and_read_together(open_log: Opener) -> None:
    """Nothing is lost or doubled, each reader sees a growing log, and an appended record is visible at once."""
    log = _opened(open_log)
    problems: list[str] = []

    def work(number: int) -> None:
        seen = 0
        for i in range(20):
            (record,) = _accepted(log.append([movement(f"m-{number}-{i}", f"A-{number}")], NOW))
            if log.get(record.position) != record or len(log.read_entity(f"account:A-{number}")) != i + 1:
                problems.append("a record is visible as soon as append returned")
            last = log.last_position()
            if last < seen:
                problems.append("the last position never goes back")
            seen = last

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for problem in problems:
        _expect(condition=False, law=problem)
    positions = [record.position for record in log.read_after(0, 1_000)]
    _expect(len(positions) == len(set(positions)) == 80, "every record is there once")
    log.close()


def a_closed_log_answers_nothing(open_log: Opener) -> None:
    """Calls after `close` fail instead of answering."""
    log = _opened(open_log)
    log.append([movement("m-1")], NOW)
    log.close()
    for call in (lambda: log.append([movement("m-2")], NOW), log.last_position, log.quarantine_counts):
        try:
            call()
        except Exception:  # noqa: BLE001, S112 - any failure will do
            continue
        _expect(condition=False, law="a closed log fails")


CHECKS: Final = (
    an_empty_log_holds,
    records_come_back_as_accepted,
    positions_increase_in_the_order_of_appending,
    an_event_may_be_held_more_than_once,
    the_acceptance_test_holds,
    imports_declare_when_they_became_known,
    accepted_at_never_decreases,
    entities_are_read_one_after_another,
    a_running_read_does_not_see_later_records,
    columns_begin_behind_a_position,
    the_quarantine_keeps_what_was_refused,
    refused_events_are_tried_again,
    schemas_are_numbered_by_their_form,
    a_stream_must_be_registered,
    texts_of_open_categories_are_kept,
    threads_append_and_read_together,
    a_closed_log_answers_nothing,
)
"""Every check."""


def _opened(open_log: Opener) -> Log:
    """Return the log with the test's streams registered."""
    log = open_log()
    for spec in STREAMS.values():
        log.register_schema(spec)
    return log


def _accepted(answers: list[Record | Quarantined]) -> list[Record]:
    """Return the answers, all of which must be records."""
    records = [answer for answer in answers if isinstance(answer, Record)]
    _expect(len(records) == len(answers), "a record inside lateness and tolerance is accepted")
    return records


def _raises(call: Callable[[], object]) -> bool:
    """Return whether a call raises UnknownName."""
    try:
        call()
    except UnknownName:
        return True
    return False


def _expect(condition: bool, law: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Fail with the law that does not hold."""
    if not condition:
        raise AssertionError(f"This log breaks a law: {law}.")
