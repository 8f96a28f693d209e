"""One shell for one document: what a reader has open while following it."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Self

PROGRAMS = Path(sys.executable).parent
KEPT = ("HOME", "LANG", "OMP_NUM_THREADS", "TMPDIR")


class Answer(NamedTuple):
    """What a command printed, both streams in order, and its exit code."""

    output: str
    code: int


class Shell:
    """A bash that keeps its directory, variables and background jobs from one command to the next.

    Commands are written to the shell's standard input; each one's output goes to a file of its own, so that what a
    background job prints later stays with the command that started it.
    """

    def __init__(self, directory: Path, logs: Path, timeout: float = 300) -> None:
        """Start in a directory; keep the commands' output in another, out of the reader's sight."""
        self._logs = logs
        self._count = 0
        self._timeout = timeout
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment |= {"PATH": f"{PROGRAMS}:{os.environ['PATH']}", "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Use the shell for one document."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the shell and every job that it left running."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()

    def run(self, command: str) -> Answer:
        """Run a command as a reader types it, and wait until the shell is ready for the next."""
        self._count += 1
        log = self._logs / f"{self._count}.log"
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{\n{command}\n}} >'{log}' 2>&1 </dev/null\necho $?\n")
        self._bash.stdin.flush()
        previous = signal.signal(signal.SIGALRM, self._give_up)
        signal.setitimer(signal.ITIMER_REAL, self._timeout)
        try:
            code = self._bash.stdout.readline()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        if not code:
            message = f"the shell ended at {command!r}: {log.read_text() if log.exists() else ''}"
            raise AssertionError(message)
        return Answer(log.read_text(), int(code))

    def _give_up(self, *_: object) -> None:
        message = f"no prompt after {self._timeout} s"
        raise TimeoutError(message)
