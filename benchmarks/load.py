"""The load: one process that posts prepared bodies and prints how long each answer took, as JSON.

Open loop: requests leave at fixed moments, and time counts from the moment a request was due, so that a slow server
is not spared. Closed loop: each connection posts as soon as it was answered.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

Stream: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    """Requests to one server, and what became of them.

    Attributes:
        latencies: Seconds of each answer, in order of arrival.
        refused: The first answer that was not 200, or None.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        """Read the bodies."""
        self.latencies: list[float] = []
        self.refused: str | None = None
        self._host, self._port = options.host, options.port
        self._head = (
            f"POST {options.path} HTTP/1.1\r\nhost: {options.host}\r\ncontent-type: application/json\r\n"
            + "".join(f"{header}\r\n" for header in options.header)
        ).encode()
        self._bodies: Iterator[bytes] = iter(options.bodies.read_bytes().splitlines())

    async def closed(self, connections: int, seconds: float) -> None:
        """Keep so many connections busy."""
        end = time.perf_counter() + seconds

        async def keep_busy(stream: Stream) -> None:
            while time.perf_counter() < end and (body := next(self._bodies, None)) is not None:
                await self._post(stream, body, time.perf_counter())

        async with self._connected(connections) as streams:
            await asyncio.gather(*(keep_busy(stream) for stream in streams))

    async def open(self, rate: float, connections: int, seconds: float) -> None:
        """Send at a rate, over as many connections as it takes up to a limit."""
        async with self._connected(connections) as streams:
            free: asyncio.Queue[Stream] = asyncio.Queue()
            for stream in streams:
                free.put_nowait(stream)

            async def send(body: bytes, due: float) -> None:
                stream = await free.get()
                await self._post(stream, body, due)
                free.put_nowait(stream)

            begun = time.perf_counter()
            sending = []
            for number in range(int(rate * seconds)):
                due = begun + number / rate
                await asyncio.sleep(due - time.perf_counter())
                if (body := next(self._bodies, None)) is not None:
                    sending.append(asyncio.create_task(send(body, due)))
            await asyncio.gather(*sending)

    async def _post(self, stream: Stream, body: bytes, due: float) -> None:
        reader, writer = stream
        writer.write(b"%scontent-length: %d\r\n\r\n%s" % (self._head, len(body), body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
        answer = await reader.readexactly(length)
        self.latencies.append(time.perf_counter() - due)
        if not head.startswith(b"HTTP/1.1 200") and self.refused is None:
            self.refused = f"{head.splitlines()[0].decode()}: {answer[:300].decode(errors='replace')}"

    @asynccontextmanager
    async def _connected(self, connections: int) -> AsyncIterator[list[Stream]]:
        streams = [await asyncio.open_connection(self._host, self._port) for _ in range(connections)]
        try:
            yield streams
        finally:
            for _, writer in streams:
                writer.close()


def main() -> None:
    """Load a server as asked for, and print the outcome."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--bodies", type=Path, required=True, help="one body a line")
    parser.add_argument("--rate", type=float, help="open loop at so many a second; else closed loop")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    load = Load(options)
    started = time.perf_counter()
    if options.rate:
        asyncio.run(load.open(options.rate, options.connections, options.seconds))
    else:
        asyncio.run(load.closed(options.connections, options.seconds))
    took = time.perf_counter() - started
    if load.refused is not None or not load.latencies:
        sys.exit(load.refused or "nothing was sent")
    ordered = sorted(load.latencies)
    json.dump(
        {
            "answers": len(ordered),
            "rate": len(ordered) / took,
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[int(len(ordered) * 0.99)],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
