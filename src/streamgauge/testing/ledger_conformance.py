"""What every `Ledger` must do.

Each check takes a function that opens the same ledger, empty at first: called again after `close`, it opens what was
kept. `CHECKS` lists them all::

    @pytest.mark.parametrize("check", CHECKS)
    def test_it_conforms(check, tmp_path):
        check(lambda: MyLedger(tmp_path / "ledger"))
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from streamgauge.decisions.ledger import Ledger, Receipt
from streamgauge.decisions.record import DecisionRecord, Vector, digest_request, encode
from streamgauge.errors import DecisionConflict, DecisionErased, DecisionInvalid
from streamgauge.log.group_commit import GroupCommit
from streamgauge.testing.decision_builder import build_decision

if TYPE_CHECKING:
    from collections.abc import Callable

    Opener = Callable[[], Ledger]

_ERASED_AT = 1_767_225_600_000_000


def an_empty_ledger_holds(open_ledger: Opener) -> None:
    """Nothing is there, and verifies."""
    ledger = open_ledger()
    _expect(ledger.head().seq == 0, "the head of an empty ledger is number 0")
    _expect(ledger.last(5) == [] and list(ledger.iterate()) == [], "an empty ledger lists nothing")
    _expect(ledger.get("d-1") is None, "an id that was never used reads as None")
    _expect(ledger.append([]) == [] and ledger.head().seq == 0, "appending nothing writes nothing")
    _expect(ledger.verify_chain().ok, "an empty ledger verifies")
    ledger.close()


def a_record_comes_back_bit_for_bit(open_ledger: Opener) -> None:
    """Every field, every bit of every float, also after opening again."""
    values = np.array([0.0, -0.0, math.nan, -math.inf, 5e-324, 0.1, np.nextafter(1, 2)])
    values.view(np.uint64)[2] |= 0x1234  # a NaN that is not the usual one
    record = build_decision(
        "d-1", feature_names=tuple("abcdefg"), features=Vector.of(values), model_input=Vector.of(values[::-1])
    )
    ledger = open_ledger()
    receipt = ledger.append([record])[0]
    ledger.close()
    ledger = open_ledger()
    entry = ledger.get("d-1")
    _expect(entry is not None and entry.status == "kept", "an appended decision is kept over a restart")
    if entry is not None:
        read = entry.require()
        _expect(read.features.array.tobytes() == values.tobytes(), "features come back bit for bit")
        _expect(encode(read) == encode(record), "every field comes back")
        _expect(read.seq == receipt.seq == entry.seq, "the number is the receipt's")
        _expect((entry.digest, entry.chain_hash) == (receipt.digest, receipt.chain_hash), "digest and hash agree")
    _expect(ledger.head().chain_hash == receipt.chain_hash, "the head is the last receipt's")
    ledger.close()


def a_repeat_answers_the_first(open_ledger: Opener) -> None:
    """The same request under the same id writes nothing and gets the first answer, in one group and later."""
    ledger = open_ledger()
    first = build_decision("d-1")
    again = msgspec.structs.replace(first, pd=0.5, outcome="decline")
    one, two = ledger.append([first, again])
    three = ledger.append([again])[0]
    _expect(not one.repeated and two.repeated and three.repeated, "a repeat says that it is one")
    for repeat in (two, three):
        _expect(repeat.record == one.record, "a repeat gets the first's record")
        _expect((repeat.seq, repeat.digest, repeat.chain_hash) == (one.seq, one.digest, one.chain_hash), "and receipt")
    _expect(ledger.head().seq == 1, "a repeat writes nothing")
    ledger.close()


def another_request_under_a_used_id_conflicts(open_ledger: Opener) -> None:
    """`append` writes nothing of the group; `append_each` refuses that one alone."""
    ledger = open_ledger()
    ledger.append([build_decision("d-1")])
    other = build_decision("d-1", request_digest=digest_request({"amount": 1}))
    _refused(DecisionConflict, lambda: ledger.append([build_decision("d-2"), other]))
    _expect(ledger.get("d-2") is None and ledger.head().seq == 1, "a refused group writes nothing")
    unwritable = build_decision("d-3", request={"amount": 2**70})
    answers = ledger.append_each([build_decision("d-2"), other, unwritable, build_decision("d-4")])
    kinds = [type(answer) for answer in answers]
    _expect(kinds == [Receipt, DecisionConflict, DecisionInvalid, Receipt], "each decision gets its own answer")
    _expect([entry.decision_id for entry in ledger.iterate()] == ["d-1", "d-2", "d-4"], "the others are kept")
    _expect(ledger.verify_chain().ok, "the chain holds")
    ledger.close()


def a_name_that_is_no_text_is_unknown(open_ledger: Opener) -> None:
    """JSON can spell half a character; no store can hold it, and no call breaks on it."""
    ledger = open_ledger()
    half = "\ud800"
    _expect(ledger.get(half) is None, "it was never used")
    _expect(ledger.erase("account", half, erased_at=_ERASED_AT) == 0, "it has no decisions")
    _refused(DecisionInvalid, lambda: ledger.append([build_decision(half, "ada")]))
    _expect(ledger.last(-1) == [], "fewer than no decisions are none")
    ledger.close()


def decisions_are_listed_in_order(open_ledger: Opener) -> None:
    """`last` and `iterate` go by number, over more than a page."""
    ledger = open_ledger()
    ids = [f"d-{number:04}" for number in range(1_203)]
    ledger.append([build_decision(decision_id) for decision_id in ids[:700]])
    ledger.append([build_decision(decision_id) for decision_id in ids[700:]])
    _expect(len(ledger.last(2**70)) == len(ids), "as many as there are")
    _expect([entry.decision_id for entry in ledger.last(3)] == ids[-3:], "the newest, oldest of them first")
    _expect([entry.decision_id for entry in ledger.iterate()] == ids, "all, in order")
    _expect([entry.seq for entry in ledger.iterate(1_200)] == [1_200, 1_201, 1_202, 1_203], "from a number on")
    found = ledger.get_many([*reversed(ids), "never", "\ud800"])
    _expect({name: entry.seq for name, entry in found.items()} == {name: i + 1 for i, name in enumerate(ids)}, "by id")
    ledger.settle()
    _expect(ledger.verify_chain().checked == len(ids), "all are verified")
    ledger.close()


def erasing_an_entity_keeps_the_chain(open_ledger: Opener) -> None:
    """Bodies go, the chain verifies, reads say erased, the id stays used, others stay."""
    ledger = open_ledger()
    ledger.append([build_decision("d-1", "ada"), build_decision("d-2", "bob"), build_decision("d-3", "ada")])
    _expect(ledger.erase("card", "ada", erased_at=_ERASED_AT) == 0, "another role is another entity")
    _expect(ledger.erase("account", "ada", erased_at=_ERASED_AT) == len(["d-1", "d-3"]), "both decisions are erased")
    _expect(ledger.erase("account", "ada", erased_at=_ERASED_AT) == 0, "there is nothing left to erase")
    ledger.append([build_decision("d-4", "ada")])
    ledger.close()
    ledger = open_ledger()
    report = ledger.verify_chain()
    _expect(report.ok and report.erased == len(["d-1", "d-3"]), f"the chain still verifies, not: {report.broken}")
    _expect([entry.status for entry in ledger.last(9)] == ["erased", "kept", "erased", "kept"], "reads say erased")
    entry = ledger.get("d-1")
    _expect(entry is not None and entry.record is None, "an erased decision has no record")
    if entry is not None:
        _refused(DecisionErased, entry.require)
    _refused(DecisionConflict, lambda: ledger.append([build_decision("d-1", "ada")]))
    ledger.close()


def many_threads_share_a_ledger(open_ledger: Opener) -> None:
    """Readers see whole decisions while a group commit writes."""
    ledger = open_ledger()
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            problems.extend(entry.decision_id for entry in ledger.last(5) if entry.status != "kept")
            if not ledger.verify_chain().ok:
                problems.append("the chain does not verify under writing")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with GroupCommit[DecisionRecord, Receipt](ledger.append_each, max_items=50) as commits:
            futures = [commits.submit(build_decision(f"d-{number}")) for number in range(400)]
            seqs = [future.result().seq for future in futures]
    finally:
        done.set()
        reader.join()
    _expect(seqs == list(range(1, 401)), "decisions are numbered in the order submitted")
    _expect(not problems, f"readers met {problems[:3]}")
    ledger.close()


CHECKS = (
    an_empty_ledger_holds,
    a_record_comes_back_bit_for_bit,
    a_repeat_answers_the_first,
    another_request_under_a_used_id_conflicts,
    a_name_that_is_no_text_is_unknown,
    decisions_are_listed_in_order,
    erasing_an_entity_keeps_the_chain,
    many_threads_share_a_ledger,
)


def _expect(held: bool, promise: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not held:
        raise AssertionError(promise)


def _refused(kind: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    msg = f"{kind.__name__} was not raised"
    raise AssertionError(msg)
