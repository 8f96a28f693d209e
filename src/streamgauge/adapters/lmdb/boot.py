"""Which run of the machine this is."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def boot_name() -> str:
    """Return what names this run of the machine; where the system does not say, none is the same as another."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return uuid.uuid4().hex
