from pathlib import Path

import numpy as np
import pytest

from streamgauge.events.record import Record
from streamgauge.features.backfill import Requests, backfill
from streamgauge.features.chunks import in_chunks, in_order
from streamgauge.features.decode import SchemaBook
from streamgauge.features.history import EntityHistory
from streamgauge.testing.streams import DAY_US
from tests.features.logs import BOUND, LAYOUT, START, filled_log


def questions(entities: int = 14, rows: int = 300) -> Requests:
    rng = np.random.default_rng(5)
    keys = [f"account:{number:02d}" for number in rng.integers(0, entities, rows)]  # two of them have no record
    t = START + rng.integers(0, 200, rows) * DAY_US
    observed = [("Movement", f"M-{number}") if number % 3 else None for number in rng.integers(0, 60, rows).tolist()]
    return Requests.of(keys, t, rng.integers(0, 500, rows), t - rng.integers(0, 10, rows) * DAY_US, observed)


@pytest.mark.parametrize(("workers", "chunk_records"), [(1, 1), (2, 90), (3, 20_000)])
def test_a_backfill_has_the_bits_of_each_entity_s_history(tmp_path: Path, workers: int, chunk_records: int) -> None:
    log = filled_log(tmp_path)
    requests = questions()
    done: list[tuple[int, int]] = []
    answer = backfill(
        log,
        BOUND,
        requests,
        workers=workers,
        chunk_records=chunk_records,
        progress=lambda *step: done.append(step),
    )
    book = SchemaBook(log.schema)
    assert requests.known is not None
    assert requests.observed is not None
    for number, entity in enumerate(requests.entities):
        rows = np.flatnonzero(requests.entity == number)
        history = EntityHistory(LAYOUT, log.read_entity(entity), book)
        expected = history.at_moments(
            BOUND,
            requests.t[rows],
            requests.known[rows],
            requests.position[rows],
            [requests.observed[row] for row in rows.tolist()],
        )
        assert answer[rows].tobytes() == expected.tobytes()
    assert done[-1] == (300, 300)
    assert np.isfinite(answer).any(axis=0).all()
    log.close()


def test_position_cuts_need_no_knowledge_moment(tmp_path: Path) -> None:
    log = filled_log(tmp_path)
    last = log.last_position()
    t = np.array([START + 300 * DAY_US])
    whole = backfill(log, BOUND, Requests.of(["account:03"], t, np.array([last])))
    cut = backfill(log, BOUND, Requests.of(["account:03"], t, np.array([last // 2])))
    same = backfill(log, BOUND, Requests.of(["account:03"], t, np.array([last])), up_to=last // 2)
    assert cut.tobytes() == same.tobytes()
    assert whole[0, 1] != cut[0, 1]
    log.close()


def test_no_request_is_no_work(tmp_path: Path) -> None:
    log = filled_log(tmp_path, entities=1)
    none = np.empty(0, np.int64)
    assert backfill(log, BOUND, Requests.of([], none, none)).shape == (0, 5)
    log.close()


def test_chunks_hold_whole_entities() -> None:
    groups: list[tuple[str, list[Record]]] = [("a", []), ("b", []), ("c", [])]
    assert [[name for name, _ in chunk] for chunk in in_chunks(iter(groups), 2)] == [["a", "b"], ["c"]]


def test_results_come_in_order_and_few_jobs_wait() -> None:
    taken: list[int] = []

    def jobs() -> list[int]:
        return list(range(20))

    def source() -> object:
        for job in jobs():
            taken.append(job)
            yield job

    results = in_order(lambda job: job * job, source(), workers=2)  # type: ignore[arg-type]
    assert next(results) == 0
    assert len(taken) <= 4
    assert list(results) == [job * job for job in range(1, 20)]


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda job: 1 // job, [1, 0], workers=2))
