"""``streamgauge run`` as the demo starts it: a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from pathlib import Path

_GRACE_S: Final = 30.0
_TAIL: Final = 2_000


def command(*arguments: str) -> list[str]:
    """Return how this interpreter is asked to run a command of Streamgauge."""
    return [sys.executable, "-m", "streamgauge.app.cli", *arguments]


def surroundings() -> dict[str, str]:
    """Return the environment of the demo's processes: each keeps to one thread of OpenMP, as two cores are shared."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


class Program:
    """A command that runs beside the demo and answers JSON on standard output; Ctrl-C does not reach it."""

    def __init__(self, log: Path, *arguments: str) -> None:
        """Start it.

        Args:
            log: Where its standard error goes.
            arguments: The command's words.
        """
        self._log = log
        self._name = arguments[0]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command(*arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=surroundings(),
                start_new_session=True,
            )

    def line(self) -> dict[str, Any]:
        """Return the next line of its output.

        Raises:
            StreamgaugeError: It ended instead.
        """
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            raise self._failed()
        return msgspec.json.decode(line, type=dict[str, Any])

    def tell(self, word: str) -> None:
        """Send it a line."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.communicate()

    def _failed(self) -> StreamgaugeError:
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        return StreamgaugeError(f"streamgauge {self._name} ended with code {self._process.returncode}: {tail}")
