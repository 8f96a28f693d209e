"""P1's peer from outside: events at a steady rate into PySpark, and when each account's new values came back."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections import defaultdict, deque
from contextlib import suppress
from random import Random

from benchmarks.measure import PEERS, ROOT

NAME = "PySpark micro-batches"
_WARM_UP_S = 15.0
_TICK_S = 0.01
_WAIT_S = 120.0


def freshness(accounts: int, rate: int, seconds: float) -> dict[str, float]:
    """Return the percentiles of the seconds from an event that was due until its account's new value was read."""
    return asyncio.run(_Stream(accounts, rate).run(seconds))


class _Stream:
    def __init__(self, accounts: int, rate: int) -> None:
        self._accounts, self._rate = accounts, rate
        self._draw = Random(1)  # noqa: S311 - a benchmark's draw
        self._due: dict[str, deque[tuple[int, float]]] = defaultdict(deque)
        self._count: dict[str, int] = defaultdict(int)
        self._ready = asyncio.Event()
        self._out: asyncio.Future[asyncio.StreamWriter] | None = None
        self._latencies: list[float] = []
        self._from = float("inf")

    async def run(self, seconds: float) -> dict[str, float]:
        """Start PySpark, send for a while, and stop it."""
        self._out = asyncio.get_running_loop().create_future()
        events = await asyncio.start_server(self._feed, "127.0.0.1", 0)
        scores = await asyncio.start_server(self._read, "127.0.0.1", 0, limit=2**22)
        ports = [str(server.sockets[0].getsockname()[1]) for server in (events, scores)]
        with tempfile.TemporaryFile() as said:
            process = await asyncio.create_subprocess_exec(
                PEERS / "python", ROOT / "benchmarks" / "p1_spark.py", *ports, stdout=said, stderr=said
            )
            try:
                await asyncio.wait_for(self._ready.wait(), _WAIT_S)
                writer = await asyncio.wait_for(self._out, _WAIT_S)
                await self._send(writer, seconds)
            except TimeoutError:
                said.seek(0)
                raise RuntimeError(f"{NAME} did not start: {said.read().decode()[-1000:]}") from None
            finally:
                with suppress(ProcessLookupError):
                    process.terminate()
                await process.wait()
        ordered = sorted(self._latencies)
        if not ordered:
            raise RuntimeError(f"{NAME} answered nothing.")
        return {
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[int(len(ordered) * 0.99)],
            "worst": ordered[-1],
        }

    async def _feed(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._out is not None and not self._out.done():
            self._out.set_result(writer)

    async def _send(self, writer: asyncio.StreamWriter, seconds: float) -> None:
        """Send the rate; the first seconds, in which Spark compiles, do not count. Then wait for what is under way."""
        begun = time.perf_counter()
        self._from = begun + _WARM_UP_S
        each = max(1, int(self._rate * _TICK_S))
        for tick in range(int((_WARM_UP_S + seconds) * self._rate / each)):
            due = begun + tick * each / self._rate
            await asyncio.sleep(due - time.perf_counter())
            lines = []
            for _ in range(each):
                account = f"acc-{self._draw.randrange(self._accounts)}"
                self._count[account] += 1
                self._due[account].append((self._count[account], due))
                lines.append(json.dumps({"account": account, "amount": self._draw.randint(-90_000, 90_000) / 100}))
            writer.write(("\n".join(lines) + "\n").encode())
        await writer.drain()
        end = time.perf_counter() + _WAIT_S
        while any(self._due.values()) and time.perf_counter() < end:  # noqa: ASYNC110 - a poll costs the peer less
            await asyncio.sleep(0.1)

    async def _read(self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):
            await self._note(reader)

    async def _note(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            account, _, count = line.decode().partition(" ")
            if account == "ready":
                self._ready.set()
                continue
            waiting, now = self._due[account], time.perf_counter()
            while waiting and waiting[0][0] <= int(count):
                due = waiting.popleft()[1]
                if due >= self._from:
                    self._latencies.append(now - due)
