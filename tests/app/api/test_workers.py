"""`streamgauge run --workers 2`: real processes, on real sockets, killed on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from streamgauge.app.keys import Keys
from streamgauge.app.owner import Owner
from streamgauge.app.remote import RemoteService
from streamgauge.app.service import quiet
from tests.app.conftest import Lender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from streamgauge.app.settings import Place

pytestmark = pytest.mark.e2e

PATIENCE_S = 60.0


class Running:
    """Supervisor, owner and two workers over a project directory."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.key = Keys(place.keys).create(f"tests-{time.monotonic_ns()}", ["admin"], 0)[0]
        self._said = (place.root / "run.err").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamgauge.app.cli", "run", "--json", "--port", "0", "--workers", "2"],
            cwd=place.root,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (place.root / "run.err").read_text()
        self.url = json.loads(line)["url"]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30)

    def pids(self, role: str) -> list[int]:
        """Return the living processes of a role."""
        found = []
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and f'"role":"{role}"' in (folder / "cmdline").read_text():
                    found.append(int(folder.name))
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self) -> int:
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._said.close()
        return code


@pytest.fixture(scope="module")
def running(lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(lender.copy(tmp_path_factory.mktemp("workers") / "lender"))
    try:
        yield running
    finally:
        assert running.stop() == 0
    with Owner.open(running.place) as owner:  # everything was released, and all of it replays
        report = owner.verify(quiet)
        assert (report.mismatch, report.chain) == (0, "intact")


def application(name: str, number: int = 0) -> dict[str, Any]:
    event = {
        "stream": "Application",
        "id": name,
        "account": f"acc-{number % 900:05d}",
        "asked_at": datetime.now(UTC).isoformat(),
        "amount": "900.00",
        "term_months": 6 + number % 30,
    }
    return {"decision_id": name, "event": event}


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def decide_stubbornly(running: Running, body: dict[str, Any], seen: list[int]) -> dict[str, Any]:
    """Ask for a decision again and again under the same id, whatever breaks, until it is answered."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError), running.client() as client:
            answer = client.post("/v1/decisions", json=body)
            seen.append(answer.status_code)
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                return found
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        time.sleep(0.02)
    raise AssertionError("It was never answered.")


def without_repeat(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "repeated"}


def decided_through(running: Running, names: list[str], kill: Callable[[], None]) -> list[int]:
    """Decide, kill something in the middle, and see that nothing was lost or doubled; return all statuses."""
    seen: list[int] = []
    bodies = [application(name, number) for number, name in enumerate(names)]
    killed = threading.Event()

    def work(body: dict[str, Any]) -> dict[str, Any]:
        if body is bodies[len(bodies) // 3]:
            kill()
            killed.set()
        return decide_stubbornly(running, body, seen)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, bodies))
    assert killed.is_set()
    with running.client() as client:
        for body, answer in zip(bodies, answers, strict=True):
            again = client.post("/v1/decisions", json=body)
            assert again.status_code == 200
            assert again.json()["repeated"] is True
            assert without_repeat(again.json()) == without_repeat(answer)
    service = RemoteService(running.place)
    report = service.verify(quiet)
    assert (report.mismatch, report.chain) == (0, "intact")
    assert len({answer["seq"] for answer in answers}) == len(names)
    return seen


def test_decisions_of_many_callers_at_once_are_all_recorded_and_replay(running: Running) -> None:
    before = RemoteService(running.place).verify(quiet).checked
    bodies = [application(f"many-{number}", number) for number in range(120)]
    with running.client() as client, ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: client.post("/v1/decisions", json=body), bodies))
    assert [answer.status_code for answer in answers] == [200] * 120
    assert len({answer.json()["seq"] for answer in answers}) == 120
    report = RemoteService(running.place).verify(quiet)
    assert (report.checked - before, report.mismatch, report.chain) == (120, 0, "intact")


def test_a_worker_answers_what_the_owner_itself_answers(running: Running, lender: Lender) -> None:
    owner = RemoteService(running.place)
    with running.client() as client:
        decided = client.post("/v1/decisions", json=application("same", 7)).json()
        position = decided["positions"]["account"]
        record = client.get("/v1/decisions/same?full=true").json()
        at = {"position": position, "as_of": decided["as_of"]}
        features = client.get("/v1/entities/acc-00007/features", params=at).json()
        score = client.get("/v1/entities/acc-00007/score", params={"as_of": lender.end_us}).json()
    assert record == owner.decision_record("same")
    as_of = owner.features("acc-00007", position=position).as_of
    assert features["as_of"] == as_of == decided["as_of"]
    assert features["features"] == owner.features("acc-00007", position=position).features
    assert score["pd"] == owner.score("acc-00007", as_of=lender.end_us).pd


def test_events_are_accepted_read_back_and_refused_as_by_one_process(running: Running) -> None:
    event = {
        "stream": "Movement",
        "id": "w-1",
        "account": "acc-00003",
        "booked_at": datetime.now(UTC).isoformat(),
        "amount": "10.00",
        "kind": "sales",
    }
    with running.client() as client:
        accepted = client.post("/v1/events?wait=applied", json=[event, event]).json()
        assert (accepted["accepted"], accepted["duplicates"]) == (2, 1)
        fresh = {"model": "account-risk", "min_position": accepted["position"]}
        read = client.get("/v1/entities/acc-00003/features", params=fresh).json()
        assert read["position"] >= accepted["position"]
        refused = client.post("/v1/events", json={**event, "amount": "much"})
        assert (refused.status_code, refused.json()["code"]) == (422, "events-rejected")
        number = refused.json()["refused"][0]["quarantine"]
        assert client.get(f"/v1/quarantine/{number}").json()["reason"] == refused.json()["refused"][0]["reason"]
        undecided = client.post("/v1/decisions", json={"decision_id": "w-1", "event": {**event, "id": "w-2"}})
        assert (undecided.status_code, undecided.json()["code"]) == (422, "nothing-decides")
        malformed = application("malformed")
        del malformed["event"]["amount"]
        answer = client.post("/v1/decisions", json=malformed)
        assert (answer.status_code, answer.json()["errors"][0]["reason"]) == (422, "missing_field")
        never = client.get("/v1/entities/acc-00003/score", params={"min_position": 2**40})
        assert (never.status_code, never.json()["code"]) == (503, "position-not-reached")


def movement(name: str, number: int) -> dict[str, Any]:
    return {
        "stream": "Movement",
        "id": name,
        "account": f"acc-{number:05d}",
        "booked_at": datetime.now(UTC).isoformat(),
        "amount": f"{10 + number}.00",
        "kind": "sales",
    }


def moment_us(text: str) -> int:
    found = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return found // timedelta(microseconds=1)


def active(running: Running, count: int) -> list[int]:
    """Return the numbers of some accounts that have a score."""
    with running.client() as client:
        asked = (number for number in range(40, 900) if client.get(f"/v1/entities/acc-{number:05d}/score").is_success)
        return list(islice(asked, count))


def answered_without_owner(running: Running, path: str) -> list[httpx.Response]:
    """Stop the owner's process for a moment, and return what workers answer of themselves meanwhile."""
    end = time.monotonic() + PATIENCE_S
    while True:
        assert time.monotonic() < end
        [owner] = running.pids("owner")
        os.kill(owner, signal.SIGSTOP)
        try:
            return [_asked_anew(running, path) for _ in range(12)]  # a connection each, so that both are asked
        except httpx.TimeoutException:
            pass  # what is served is being opened
        finally:
            os.kill(owner, signal.SIGCONT)
        time.sleep(0.2)
        _asked_anew(running, path, 30)


def _asked_anew(running: Running, path: str, timeout: float = 2) -> httpx.Response:
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {running.key}"}, timeout=timeout) as one:
        return one.get(path)


def test_workers_answer_reads_by_themselves_byte_for_byte_as_the_owner_does(running: Running) -> None:
    with running.client() as client:
        assert client.post("/v1/events?wait=applied", json=movement("bytes", 5)).status_code == 200
        decided = client.post("/v1/decisions", json=application("bytes", 5)).json()
        for what in ("features", "score"):
            path = f"/v1/entities/acc-00005/{what}?model=account-risk"
            for answer in answered_without_owner(running, path):
                assert answer.status_code == 200
                assert answer.json()["position"] >= decided["positions"]["account"]
                # With a moment the owner is asked.
                same = client.get(path, params={"model": "account-risk", "as_of": answer.json()["as_of"]})
                assert (same.content, same.headers["content-type"]) == (answer.content, answer.headers["content-type"])
    owner = RemoteService(running.place)
    for answer in answered_without_owner(running, "/v1/decisions/bytes"):
        assert answer.json() == without_repeat(decided) | {"repeated": False}
    for answer in answered_without_owner(running, "/v1/decisions/bytes?full=true"):
        assert answer.json() == owner.decision_record("bytes")


def test_reads_during_ingestion_know_what_they_ask_for_and_are_what_the_log_says(running: Running) -> None:
    def work(number: int) -> list[tuple[str, str, dict[str, Any]]]:
        found: list[tuple[str, str, dict[str, Any]]] = []
        for turn in range(12):
            with running.client() as client:
                account = numbers[turn % len(numbers)]
                event = movement(f"during-{number}-{turn}", account)
                position = client.post("/v1/events?wait=applied", json=event).json()["position"]
            with running.client() as client:
                for what in ("features", "score"):
                    asked = {"model": "account-risk", "min_position": position}
                    answer = client.get(f"/v1/entities/acc-{account:05d}/{what}", params=asked)
                    assert answer.status_code == 200, answer.text
                    assert answer.json()["position"] >= position
                    found.append((what, f"acc-{account:05d}", answer.json()))
        return found

    numbers = active(running, 3)
    with ThreadPoolExecutor(4) as pool:
        found = [one for some in pool.map(work, range(4)) for one in some]
    owner = RemoteService(running.place)
    for what, account, answer in found:
        at = {"model": "account-risk", "position": answer["position"], "as_of": moment_us(answer["as_of"])}
        if what == "features":
            assert owner.features(account, **at).features == answer["features"]
        else:
            score = owner.score(account, **at)
            assert (score.pd, score.points, score.margin) == (answer["pd"], answer["points"], answer["margin"])


def test_workers_follow_a_reload_and_an_erasure(running: Running) -> None:
    path = "/v1/entities/acc-00031/features?model=account-risk"
    with running.client() as client:
        client.post("/v1/events?wait=applied", json=movement("reload", 31))
        before = answered_without_owner(running, path)[0].json()
        owner = RemoteService(running.place)
        owner.reload(quiet)
        client.post("/v1/events?wait=applied", json=movement("after-reload", 31))
        for answer in answered_without_owner(running, path):
            assert answer.json()["position"] > before["position"]
        assert owner.erase("acc-00031").counts["records"] > 0
        for _ in range(6):
            assert _asked_anew(running, path).status_code == 404
        client.post("/v1/events?wait=applied", json=movement("after-erasure", 32))
        for answer in answered_without_owner(running, path.replace("31", "32")):
            assert answer.json()["position"] > before["position"] + 1


def test_reads_after_the_owner_is_killed_are_fresh_or_say_when_to_ask_again(running: Running) -> None:
    [number] = active(running, 1)
    path = f"/v1/entities/acc-{number:05d}/score?model=account-risk"
    with running.client() as client:
        position = client.post("/v1/events?wait=applied", json=movement("killed", number)).json()["position"]
        assert client.get(path).status_code == 200
    [owner] = running.pids("owner")
    os.kill(owner, signal.SIGKILL)
    seen: list[int] = []
    while not (503 in seen and seen[-1] == 200):
        answer = _asked_anew(running, path, 30)
        seen.append(answer.status_code)
        if answer.status_code == 200:
            assert answer.json()["position"] >= position
        else:
            assert (answer.status_code, int(answer.headers["retry-after"]) > 0) == (503, True)
        time.sleep(0.01)
    assert all(answer.json()["position"] >= position for answer in answered_without_owner(running, path))


def test_workers_ask_for_keys_and_pass_nothing_internal_on(running: Running) -> None:
    reader = Keys(running.place.keys).create("reader", ["read"], 0)[0]
    with httpx.Client(base_url=running.url) as client:
        assert client.get("/v1/models").status_code == 401
        assert client.post("/v1/decisions", json=application("no-key")).status_code == 401
        headers = {"authorization": f"Bearer {reader}"}
        assert client.post("/v1/decisions", json=application("no-key"), headers=headers).status_code == 403
        assert client.get("/v1/models", headers=headers).status_code == 200
    with running.client() as client:
        assert client.post("/internal/reload", json={}).status_code == 404
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json()["ready"] is True


def test_only_the_owners_user_may_connect_to_the_workers_socket(running: Running) -> None:
    path = running.place.worker_socket
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_scores_are_streamed_and_requests_counted_across_workers(running: Running) -> None:
    def counted(client: httpx.Client) -> float:
        name = 'streamgauge_http_requests_total{method="GET",route="/v1/models",status="200"}'
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)

    with running.client() as client:
        before = counted(client)
    for _ in range(12):
        with running.client() as client:  # a connection each, so that both workers are asked
            assert client.get("/v1/models").status_code == 200
    with running.client() as client:
        until(lambda: counted(client) == before + 12)
        with client.stream("GET", "/v1/scores/stream", params={"model": "application-risk"}) as stream:
            lines = stream.iter_lines()
            assert next(lines) == ": connected"
            with running.client() as other:
                answer = other.post("/v1/decisions", json=application("streamed", 11)).json()
            data = next(json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert (data["event_id"], data["pd"]) == ("streamed", answer["pd"])


def test_a_killed_worker_is_started_again_and_nothing_is_lost_or_doubled(running: Running) -> None:
    workers = running.pids("worker")
    assert len(workers) == 2
    decided_through(running, [f"kw-{number}" for number in range(60)], lambda: os.kill(workers[0], signal.SIGKILL))
    until(lambda: len(running.pids("worker")) == 2)
    assert workers[0] not in running.pids("worker")


def test_a_killed_owner_is_started_again_and_nothing_is_lost_or_doubled(running: Running) -> None:
    [owner] = running.pids("owner")
    seen = decided_through(running, [f"ko-{number}" for number in range(60)], lambda: os.kill(owner, signal.SIGKILL))
    assert 503 in seen  # the workers went on answering
    assert running.pids("owner") != [owner]


def test_without_its_supervisor_everything_ends_by_itself(lender: Lender, tmp_path: Path) -> None:
    running = Running(lender.copy(tmp_path / "lender"))
    pids = [*running.pids("owner"), *running.pids("worker")]
    assert len(pids) == 3
    running.process.kill()
    running.ended()
    until(lambda: not any(_lives(pid) for pid in pids))
    Owner.open(running.place).close()


def test_an_owner_that_cannot_start_ends_the_run_with_its_reason(lender: Lender, tmp_path: Path) -> None:
    place = lender.copy(tmp_path / "lender")
    with Owner.open(place):
        ended = subprocess.run(
            [sys.executable, "-m", "streamgauge.app.cli", "run", "--port", "0", "--workers", "2"],
            cwd=place.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    assert ended.returncode == 1
    assert "owns" in ended.stderr


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
