"""A real `streamgauge run` in a process of its own, and clients that keep what it acknowledged."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from streamgauge.app.remote import RemoteService
from streamgauge.app.settings import Place
from streamgauge.errors import OwnerBusy
from tests.faults.lender import Sender

_START_S: Final = 60.0
_TIMEOUT_S: Final = 30.0
_PAUSE_S: Final = 0.01


class Running:
    """`streamgauge run` over a project directory."""

    def __init__(self, place: Place) -> None:
        """Start it; it answers once `wait` returns."""
        self.place = place
        self.url = ""
        self.errors = place.root / "run.err"
        self._err = self.errors.open("ab")
        command = [sys.executable, "-m", "streamgauge.app.cli", "run", "--json"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, cwd=place.root, stdout=subprocess.PIPE, stderr=self._err, env=environment
        )

    def wait(self) -> Running:
        """Wait until it answers."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.errors.read_text("utf-8", "replace")
        self.url = msgspec.json.decode(line)["url"]
        return self

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


@dataclass
class Acknowledged:
    """What the server said it holds.

    Attributes:
        events: The flat events of answered calls, and the greatest position the answer named.
        decisions: The answer to each decision id.
        imports: Rows of imports that were answered.
        scores: Published scores received, by id.
        last_score: The last number of the feed received.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    imports: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_score: int = 0


class Client:
    """Sends events, applications and history, and follows the feed, until the server is gone.

    A call that was not answered is sent again to the next server, as a sender that wants at least once does.
    """

    def __init__(self, seed: int, directory: Path) -> None:
        """Draw everything from a seed; files to import are written to a directory."""
        self._seed = seed
        self._directory = directory
        self._senders = [Sender(seed * 10 + number, prefix=f"s{number}") for number in range(2)]
        self._applicant = Sender(seed * 10 + 7, prefix="app")
        self._historian = Sender(seed * 10 + 8, prefix="h")
        self._waiting: dict[str, Any] = {}
        self._decided = 0
        self.held = Acknowledged()
        self.problems: list[str] = []

    def run(self, url: str, place: Place, *, imports: bool) -> list[threading.Thread]:
        """Start all of them against a server; they end with it."""
        work: list[Any] = [lambda number=number: self._send(url, number) for number in range(len(self._senders))]
        work += [lambda: self._decide(url), lambda: self._follow(url)]
        if imports:
            work.append(lambda: self._import(place))
        threads = [threading.Thread(target=self._until_gone, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        return threads

    def _until_gone(self, work: Any) -> None:
        with suppress(OSError, http.client.HTTPException, OwnerBusy):
            work()

    def _send(self, url: str, number: int) -> None:
        sender, draw, key = self._senders[number], Random(self._seed + number), f"events-{number}"  # noqa: S311
        while True:
            events = self._waiting.get(key)
            if events is None:
                now = datetime.now(UTC)
                events = [sender.event(now) for _ in range(draw.choice([1, 1, 2, 5, 12]))]
            self._waiting[key] = events
            path = "/v1/events?wait=applied" if draw.random() < 0.3 else "/v1/events"
            status, answer = post(url, path, events)
            if status == 200 and answer["accepted"] + answer["quarantined"] == len(events):
                self.held.events += [
                    event
                    for index, event in enumerate(events)
                    if index not in {one["index"] for one in answer["refused"]}
                ]
            elif status not in {200, 422}:
                self.problems.append(f"{path} answered {status}: {answer}")
            self._waiting[key] = None
            time.sleep(_PAUSE_S)

    def _decide(self, url: str) -> None:
        while True:
            asked = self._waiting.get("decision")
            if asked is None:
                self._decided += 1
                event = self._applicant.application(datetime.now(UTC))
                asked = {"decision_id": f"d-{self._decided}", "event": event}
            self._waiting["decision"] = asked
            status, answer = post(url, "/v1/decisions", asked)
            if status == 200:
                self.held.decisions[asked["decision_id"]] = answer
            else:
                self.problems.append(f"/v1/decisions answered {status}: {answer}")
            self._waiting["decision"] = None
            time.sleep(_PAUSE_S)

    def _import(self, place: Place) -> None:
        path = self._directory / "history.jsonl"
        while True:
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
