import pytest

from streamgauge.features.identity import Entry, begin, judge, remembered, revise
from streamgauge.testing.records import record

LATENESS = 10


def test_the_first_record_of_an_id_is_applied_even_a_delete() -> None:
    assert judge(None, record("a", at=5, revision=1, delete=True)) == "applied"


def test_the_same_revision_again_is_a_duplicate() -> None:
    first = record("a", at=5, units=[1])
    assert judge(begin(first, live=True), record("a", at=5, units=[1], position=2)) == "duplicate"


def test_the_same_revision_with_other_content_is_a_conflict() -> None:
    first = record("a", at=5, units=[1])
    assert judge(begin(first, live=True), record("a", at=5, units=[2], position=2)) == "conflict"


def test_another_event_time_is_named_before_the_revision_is_looked_at() -> None:
    first = record("a", at=5, units=[1])
    assert judge(begin(first, live=True), record("a", at=6, units=[1], revision=3)) == "identity_changed"


def test_older_revisions_are_remembered() -> None:
    entry = begin(record("a", at=5, units=[1]), live=True)
    assert revise(entry, record("a", at=5, units=[3], revision=3), live=True)
    assert not revise(entry, record("a", at=5, units=[2], revision=2), live=True)
    assert entry.revision == 3
    assert judge(entry, record("a", at=5, units=[1])) == "duplicate"
    assert judge(entry, record("a", at=5, units=[2], revision=2)) == "duplicate"
    assert judge(entry, record("a", at=5, units=[9], revision=2)) == "conflict"
    assert judge(entry, record("a", at=5, units=[9], revision=4)) == "applied"


def test_a_delete_ends_the_event_and_keeps_its_id() -> None:
    entry = begin(record("a", at=5, units=[1]), live=True)
    assert revise(entry, record("a", at=5, units=[1], revision=1, delete=True), live=False)
    assert not entry.live
    assert judge(entry, record("a", at=5, units=[1])) == "duplicate"


@pytest.mark.parametrize(("known_at", "imported", "found"), [(15, False, True), (16, False, False), (16, True, True)])
def test_a_live_record_finds_an_entry_until_its_lateness_has_passed(known_at: int, imported: bool, found: bool) -> None:
    entry = Entry(event_time=5, revision=0, digest=b"")
    later = record("a", at=12, known_at=known_at, imported=imported)
    assert (remembered(entry, later, LATENESS) is entry) is found
