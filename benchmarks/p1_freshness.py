"""P1: from an event that is sent to its new score that is read, both over HTTP, at a steady rate."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import p1_peer
from benchmarks.drawn import DAY_US, KINDS, make_drawn_lender, movements
from benchmarks.measure import PEERS, ROOT, Report, Row, Spread, ratios
from benchmarks.p4_servers import Server, ours
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place

GOAL = "embedded p99 at most 25 ms at 2,000 events/s over 50k accounts"
_HOW = (
    "Timed by the sender, from the moment an event was due until its score came over the stream of scores: the way "
    "there, the durable append, the features, the model and the way back. The server has one core, the sender the "
    "other."
)
_PEER = (
    "PySpark reads lines from a socket, keeps a running count and sum of each account with a built-in aggregation, and "
    "sends them back: no windows, no model, nothing durable, and both cores. A tuned Kafka + Databricks pipeline takes "
    "about 4 minutes; it is not measured here."
)
_TICK_S = 0.01
_SETTLE_S = 5.0


def run(*, quick: bool) -> Report:
    """Measure."""
    accounts, history, rate, seconds, repetitions = (1_000, 5, 200, 3.0, 1) if quick else (50_000, 10, 2_000, 20.0, 3)
    with tempfile.TemporaryDirectory() as folder:
        place = make_drawn_lender(Path(folder) / "lender")
        fill(place, accounts, history)
        with ours(place.root) as server:
            found = [measure(server, accounts, rate, seconds, number) for number in range(repetitions)]
    if (least := min(one["read"] for one in found)) < 1:
        raise RuntimeError(f"Of the events sent, {1 - least:.1%} led to no score that was read.")
    rows = [
        Row(f"Streamgauge, event sent → score read, {name}", Spread.of([one[name] for one in found]), "s")
        for name in ("p50", "p99", "worst")
    ]
    notes = [_HOW]
    if quick or not (PEERS / "python").exists():
        notes.append(f"{p1_peer.NAME} are measured in the full form, with `make bench-venv`.")
    else:
        peer = p1_peer.freshness(accounts, rate, seconds)
        rows += [
            Row(
                f"{p1_peer.NAME}, {name}",
                Spread.of([peer[name]]),
                "s",
                ratios([peer[name]], [Spread.of([one[name] for one in found]).median]),
            )
            for name in ("p50", "p99", "worst")
        ]
        notes.append(_PEER)
    rows.append(Row("scores read for events sent", Spread.of([one["read"] for one in found]), "share"))
    return Report(
        id="P1",
        title="Freshness",
        size={"accounts": accounts, "events_per_second": rate, "seconds": seconds},
        goal=GOAL,
        checks=["every event sent led to a score that was read"],
        rows=rows,
        notes=notes,
    )


def fill(place: Place, accounts: int, history: int) -> None:
    """Import a history of every account."""
    now = time.time_ns() // 1_000
    past = movements(accounts * history, accounts, now - 120 * DAY_US, now - DAY_US, seed=1, prefix="h")
    with Owner.open(place) as owner:
        owner.import_frame(past, "Movement", known_after_us=3_600_000_000)


def measure(server: Server, accounts: int, rate: int, seconds: float, number: int) -> dict[str, float]:
    """Send at a rate from another process, and return what it found."""
    arguments = ["--port", server.port, "--accounts", accounts, "--rate", rate, "--seconds", seconds]
    arguments += ["--number", number, *(part for header in server.headers for part in ("--header", header))]
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.p1_freshness", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"The load failed: {ended.stderr.strip()[-1000:]}")
    found: dict[str, float] = json.loads(ended.stdout)
    return found


class Sender:
    """Sends events and reads their scores."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Keep what to send."""
        self._options = options
        self._draw = Random(options.number)  # noqa: S311 - a benchmark's draw
        self._sent: dict[str, float] = {}
        self._headers = "".join(f"{header}\r\n" for header in options.header)
        self._wanted = -1
        self._all = asyncio.Event()
        self.latencies: list[float] = []

    async def run(self) -> dict[str, float]:
        """Send for a while, and return the percentiles of what came back."""
        reading = asyncio.create_task(self._read())
        await asyncio.sleep(0.5)
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(8):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", self._options.port))
        begun = time.perf_counter()
        each = max(1, int(self._options.rate * _TICK_S))
        posting = []
        for tick in range(int(self._options.seconds * self._options.rate / each)):
            due = begun + tick * each / self._options.rate
            await asyncio.sleep(due - time.perf_counter())
            posting.append(asyncio.create_task(self._post(free, self._events(each, due))))
        await asyncio.gather(*posting)
        self._wanted = len(self._sent)
        if len(self.latencies) < self._wanted:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all.wait(), _SETTLE_S)
        reading.cancel()
        ordered = sorted(self.latencies)
        return {
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[int(len(ordered) * 0.99)],
            "worst": ordered[-1],
            "read": len(ordered) / len(self._sent),
        }

    def _events(self, count: int, due: float) -> bytes:
        now, draw, options = datetime.now(UTC).isoformat(), self._draw, self._options
        events: list[dict[str, Any]] = []
        for _ in range(count):
            event_id = f"f{options.number}-{len(self._sent)}"
            self._sent[event_id] = due
            events.append(
                {
                    "stream": "Movement",
                    "id": event_id,
                    "account": f"acc-{draw.randrange(options.accounts)}",
                    "booked_at": now,
                    "amount": f"{draw.randint(-90_000, 90_000) / 100:.2f}",
                    "balance": f"{draw.randint(-50_000, 500_000) / 100:.2f}",
                    "kind": draw.choice(KINDS),
                    "counterparty": f"cp-{draw.randrange(2_000)}",
                }
            )
        return json.dumps(events).encode()

    async def _post(self, free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]], body: bytes) -> None:
        reader, writer = await free.get()
        head = f"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{self._headers}"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        said = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{answer.splitlines()[0].decode()}: {said[:300].decode()}")
        free.put_nowait((reader, writer))

    async def _read(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._options.port, limit=2**22)
        writer.write(f"GET /v1/scores/stream HTTP/1.1\r\nhost: x\r\n{self._headers}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"data: "):
                sent = self._sent.get(json.loads(line[6:])["event_id"])
                if sent is not None:
                    self.latencies.append(time.perf_counter() - sent)
                    if len(self.latencies) == self._wanted:
                        self._all.set()


def main(arguments: Sequence[str] | None = None) -> None:
    """Send as asked for, and print what was found as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--accounts", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--header", action="append", default=[])
    json.dump(asyncio.run(Sender(parser.parse_args(arguments)).run()), sys.stdout)


if __name__ == "__main__":
    main()
