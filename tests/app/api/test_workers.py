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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from streamgauge.app.keys import Keys
from streamgauge.app.owner import Owner, quiet
from streamgauge.app.remote import RemoteService
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
