"""A real `streamgauge run` in a process of its own, and clients that keep what it acknowledged."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from streamgauge.app.remote import RemoteService
from streamgauge.app.settings import Place
from streamgauge.errors import OwnerBusy, UnknownName
from tests.faults.lender import Sender
from tests.faults.watched import sitecustomize
from tests.faults.watched.sitecustomize import AIM, FOLDER, phases_of

_START_S: Final = 60.0
_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.01
_AGAIN_S: Final = 0.1
_TOLERANCE: Final = timedelta(minutes=5)


class Running:
    """`streamgauge run` over a project directory."""

    def __init__(self, place: Place, *, workers: int = 1, watch: Watch | None = None) -> None:
        """Start it, watched where asked for; it answers once `wait` returns."""
        self.place = place
        self.url = ""
        self.errors = place.root / "run.err"
        self._err = self.errors.open("ab")
        command = [sys.executable, "-m", "streamgauge.app.cli", "run", "--json", "--workers", str(workers)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **(watch.environment if watch is not None else {})}
        self._process = subprocess.Popen(
            command, cwd=place.root, stdout=subprocess.PIPE, stderr=self._err, env=environment
        )

    def wait(self) -> Running:
        """Wait until it answers."""
        assert self.answers(), self.errors.read_text("utf-8", "replace")
        return self

    def answers(self) -> bool:
        """Wait until it answers or has ended; return which."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self.url = msgspec.json.decode(line)["url"] if line else ""
        return bool(line)

    def dies_within(self, seconds: float) -> bool:
        """Wait for its end by itself; return whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        self.kill()

    def kill_part(self, role: str, draw: Random) -> None:
        """End one of its processes, `owner` or `worker`, as a power cut would."""
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError, ValueError, IndexError):
                parent = int((folder / "stat").read_text("utf-8").rpartition(")")[2].split()[1])
                if parent == self._process.pid and f'"role":"{role}"' in (folder / "cmdline").read_text("utf-8"):
                    found.append(int(folder.name))
        if found:  # else it is being started again
            os.kill(draw.choice(found), signal.SIGKILL)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self.join()

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self.join()

    def join(self) -> int:
        """Wait for its end."""
        code = self._process.wait(_START_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._err.close()
        return code


class Watch:
    """Learns which phases of its work a server was in when it was killed, and has it killed in one.

    Args:
        folder: Where the processes of servers note their phases.

    Attributes:
        hits: How many kills found a server in a phase.
        environment: What processes are started with.
    """

    def __init__(self, folder: Path) -> None:
        """Aim at nothing yet."""
        folder.mkdir()
        self._folder = folder
        self.hits: Counter[str] = Counter()
        path = [str(Path(sitecustomize.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environment = {FOLDER: str(folder), "PYTHONPATH": os.pathsep.join(path)}

    def aim(self, phase: str, nth: int, delay_s: float) -> None:
        """Have the next server killed in a phase: some time after its nth beginning, or at a later one."""
        (self._folder / AIM).write_text(f"{phase},{nth},{delay_s}", "utf-8")

    @property
    def aimed(self) -> bool:
        """Whether the kill is still to come."""
        return (self._folder / AIM).exists()

    def count(self) -> None:
        """Count the phases that servers, which are dead by now, were in."""
        (self._folder / AIM).unlink(missing_ok=True)
        for note in self._folder.iterdir():
            self.hits.update(phases_of(note))
            note.unlink()


@dataclass
class Acknowledged:
    """What the server said it holds.

    Attributes:
        events: The flat events of answered calls, and the greatest position the answer named.
        decisions: The answer to each decision id.
        imports: Rows of imports that were answered.
        erased: Accounts whose erasure was answered.
        asked: Accounts whose erasure was asked for.
        refused: By the number that an answer named, the id of a refused event.
        retried: By the id of a refused event, the position that a retry was answered to have given it.
        scores: Published scores received, by id.
        last_score: The last number of the feed received.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    imports: list[dict[str, Any]] = field(default_factory=list)
    erased: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    retried: dict[str, int] = field(default_factory=dict)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_score: int = 0


class _NotReady(Exception):
    """The server answered 503."""


class Client:
    """Sends events, applications and history, and follows the feed, until the server is gone.

    A call that was not answered is sent again to the next server, as a sender that wants at least once does.
    """

    def __init__(self, seed: int, directory: Path, *, patient: bool = False) -> None:
        """Draw everything from a seed; files to import are written to a directory.

        A patient one calls again, until it is told to stop, where the server is gone or not ready for a while.
        """
        self.patient = patient
        self.stopped = threading.Event()
        self._seed = seed
        self._directory = directory
        self._senders = [Sender(seed * 10 + number, prefix=f"s{number}") for number in range(2)]
        self._applicant = Sender(seed * 10 + 7, prefix="app")
        self._historian = Sender(seed * 10 + 8, prefix="h")
        self._waiting: dict[str, Any] = {}
        self._early = Sender(seed * 10 + 9, prefix="early")
        self._decided = 0
        self._gone = 0
        self.held = Acknowledged()
        self.problems: list[str] = []

    def run(self, url: str, place: Place, *, imports: bool, cares: bool = False) -> list[threading.Thread]:
        """Start all of them against a server, those that import, erase and retry where asked for; they end with it."""
        work: list[Any] = [lambda number=number: self._send(url, number) for number in range(len(self._senders))]
        work += [lambda: self._decide(url), lambda: self._follow(url)]
        if imports:
            work.append(lambda: self._import(place))
        if cares:
            work += [lambda: self._erase(url, place), lambda: self._retry(url, place)]
        threads = [threading.Thread(target=self._until_gone, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        return threads

    def _until_gone(self, work: Any) -> None:
        while True:
            with suppress(OSError, http.client.HTTPException, OwnerBusy, _NotReady):
                work()
            if not self.patient or self.stopped.wait(_AGAIN_S):
                return

    def _send(self, url: str, number: int) -> None:
        sender, draw, key = self._senders[number], Random(self._seed + number), f"events-{number}"  # noqa: S311
        while not self.stopped.is_set():
            events = self._waiting.get(key)
            if events is None:
                now = datetime.now(UTC)
                events = [sender.event(now) for _ in range(draw.choice([1, 1, 2, 5, 12]))]
            self._waiting[key] = events
            path = "/v1/events?wait=applied" if draw.random() < 0.3 else "/v1/events"
            status, answer = self._post(url, path, events)
            if status == 200 and answer["accepted"] + answer["quarantined"] == len(events):
                self.held.events += [
                    event
                    for index, event in enumerate(events)
                    if index not in {one["index"] for one in answer["refused"]}
                ]
                self._keep_refused(events, answer)
            elif status not in {200, 422}:
                self.problems.append(f"{path} answered {status}: {answer}")
            self._waiting[key] = None
            time.sleep(_PAUSE_S)

    def _decide(self, url: str) -> None:
        while not self.stopped.is_set():
            asked = self._waiting.get("decision")
            if asked is None:
                self._decided += 1
                event = self._applicant.application(datetime.now(UTC))
                asked = {"decision_id": f"d-{self._decided}", "event": event}
            self._waiting["decision"] = asked
            status, answer = self._post(url, "/v1/decisions", asked)
            if status == 200:
                self.held.decisions[asked["decision_id"]] = answer
            else:
                self.problems.append(f"/v1/decisions answered {status}: {answer}")
            self._waiting["decision"] = None
            time.sleep(_PAUSE_S)

    def _import(self, place: Place) -> None:
        path = self._directory / "history.jsonl"
        while not self.stopped.is_set():
            rows = self._waiting.get("import")
            if rows is None:
                rows = self._historian.history(60, datetime.now(UTC))
            self._waiting["import"] = rows
            path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
            answer = RemoteService(place).import_file(path, "Movement", lambda *_: None, known_after_us=3_600_000_000)
            assert answer.accepted + answer.quarantined == len(rows)
            if answer.quarantined == 0:
                self.held.imports += rows
            self._waiting["import"] = None

    def _erase(self, url: str, place: Place) -> None:
        while not self.stopped.is_set():
            account = self._waiting.get("erase")
            if account is None:
                self._gone += 1
                account = f"gone-{self._gone}"
                events = [{**self._applicant.application(datetime.now(UTC)), "account": account} for _ in range(3)]
                self._post(url, "/v1/events", events)
            self._waiting["erase"] = account
            self.held.asked.add(account)
            RemoteService(place).erase(account, role="account", by="test")
            self.held.erased.add(account)
            self._waiting["erase"] = None

    def _retry(self, url: str, place: Place) -> None:
        """Send events from a moment that is too far ahead for now, and retry them a moment later."""
        while not self.stopped.is_set():
            ahead = datetime.now(UTC) + _TOLERANCE + timedelta(seconds=0.2)
            events = [self._early.application(ahead) for _ in range(3)]
            self._keep_refused(events, self._post(url, "/v1/events", events)[1])
            for _ in range(3):
                time.sleep(0.15)
                with suppress(UnknownName):  # all of them were accepted
                    found = RemoteService(place).retry(stream="Application", reason="too_early")
                    self.held.retried.update({one.event_id: one.resolved for one in found.items if one.resolved})

    def _keep_refused(self, events: list[dict[str, Any]], answer: dict[str, Any]) -> None:
        self.held.refused.update({one["quarantine"]: events[one["index"]]["id"] for one in answer.get("refused", ())})

    def _post(self, url: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
        status, answer = post(url, path, body)
        if status == 503 and self.patient:
            raise _NotReady
        return status, answer

    def _follow(self, url: str) -> None:
        connection = _connect(url)
        headers = {"Last-Event-ID": str(self.held.last_score)}
        with closing(connection):
            connection.request("GET", "/v1/scores/stream", headers=headers)
            with connection.getresponse() as response:
                self._receive(response)

    def _receive(self, response: http.client.HTTPResponse) -> None:
        number = 0
        while line := response.readline():
            if line.startswith(b"id: "):
                number = int(line[4:])
            elif line.startswith(b"data: "):
                score = msgspec.json.decode(line[6:])
                known = self.held.scores.get(score["id"])
                if known is not None and known != score:
                    self.problems.append(f"score {score['id']} came as {known} and as {score}")
                self.held.scores[score["id"]] = score
                self.held.last_score = number


def post(url: str, path: str, body: object) -> tuple[int, dict[str, Any]]:
    """Post JSON; return status and answer."""
    connection = _connect(url)
    try:
        connection.request("POST", path, msgspec.json.encode(body), {"content-type": "application/json"})
        response = connection.getresponse()
        answer: dict[str, Any] = msgspec.json.decode(response.read())
        return response.status, answer
    finally:
        connection.close()


def _connect(url: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    assert place.hostname is not None
    return http.client.HTTPConnection(place.hostname, place.port, timeout=_TIMEOUT_S)
