"""One process owns a data directory, for as long as it lives."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamgauge.app.lock import OwnerLock
from streamgauge.errors import OwnerBusy

HOLD = """
import sys, pathlib
from streamgauge.app.lock import OwnerLock
lock = OwnerLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_refused_and_told_who_owns_it(tmp_path: Path) -> None:
    path = tmp_path / "data" / "owner.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OwnerBusy, match=f"Process {holder.pid} owns"):
            OwnerLock(path)
        holder.kill()
        holder.wait()
    OwnerLock(path).release()


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "owner.lock"
    with OwnerLock(path):
        pass
    lock = OwnerLock(path)
    lock.release()
    lock.release()
