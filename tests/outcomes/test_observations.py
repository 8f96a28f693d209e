from dataclasses import replace

from streamgauge.definitions.specs import ObserveSpec
from streamgauge.events.record import Record
from streamgauge.features.decode import SchemaBook
from streamgauge.features.layout import Layout
from streamgauge.features.timeline import Timeline
from streamgauge.outcomes.events import ToldEvent, told_events
from streamgauge.outcomes.observations import EVERYTHING, grid_observations, observed_events
from streamgauge.testing.records import record
from streamgauge.testing.streams import MOVEMENT

LATENESS = 100
BOOK = SchemaBook(lambda _: replace(MOVEMENT, fields=(), lateness_us=LATENESS))


def told(*records: Record) -> list[ToldEvent]:
    timeline = Timeline.of(Layout(()), [("account:A", list(records))], BOOK)
    return [event for part in timeline.identities[0].values() for event in told_events(part)]


def test_an_event_is_observed_when_it_was_known_and_had_happened() -> None:
    found = observed_events(
        told(record("late", 10, position=1, known_at=40), record("early", 60, position=2, known_at=55))
    )
    assert found.t.tolist() == [40, 60]
    assert found.known_at.tolist() == [40, 55]
    assert found.position.tolist() == [1, 2]
    assert found.event_ids == ("late", "early")


def test_a_corrected_event_is_observed_at_its_first_record() -> None:
    found = observed_events(told(record("a", 10, position=1), record("a", 10, position=2, known_at=30, revision=1)))
    assert (found.t.tolist(), found.position.tolist()) == ([10], [1])


def test_a_repeated_record_changes_nothing() -> None:
    again = record("a", 10, position=2)
    found = observed_events(told(record("a", 10, position=1), again))
    assert found.position.tolist() == [1]


def test_a_deleted_event_gives_no_observation() -> None:
    insert, delete = record("a", 10, position=1), record("a", 10, position=2, known_at=30, revision=1, delete=True)
    assert len(observed_events(told(insert, delete))) == 0
    before = [record("b", 10, position=1, revision=1, delete=True), record("b", 10, position=2)]
    assert len(observed_events(told(*before))) == 0


def test_an_event_deleted_and_told_again_is_observed_when_it_was_first_shown() -> None:
    found = observed_events(
        told(
            record("a", 10, position=1, known_at=10, revision=1, delete=True),
            record("a", 10, position=2, known_at=20, revision=2),
        )
    )
    assert found.position.tolist() == [2]


def test_a_forgotten_id_begins_a_new_event() -> None:
    first, second = record("a", 10, position=1), record("a", 500, position=2)
    assert observed_events(told(first, second)).position.tolist() == [1, 2]


def test_a_grid_starts_with_the_first_knowledge_and_ends_with_the_dataset() -> None:
    #      first known 13          imported 30          moment 45
    #   10      |      20      30       |      40        |
    weekly = ObserveSpec("every", "account", step_us=10, anchor_us=0)
    records = [record("a", 5, known_at=13), record("b", 5, known_at=30, imported=True)]
    found = grid_observations(weekly, records, 45)
    assert found.t.tolist() == [20, 30, 40]
    assert found.known_at.tolist() == found.t.tolist()
    assert set(found.position.tolist()) == {EVERYTHING}
    assert found.imported.tolist() == [False, True, True]


def test_an_entity_without_applied_records_is_in_no_population() -> None:
    assert len(grid_observations(ObserveSpec("at", "account", moments=(10,)), [], 45)) == 0
