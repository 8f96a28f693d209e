"""The file that says what the owner serves now, for the processes that read beside it.

It is taken away before anything else is served, and written anew after. So a process that finds the very file it began
with, after it has read, has read what was served at that moment.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.app.live import LiveSet

logger = logging.getLogger(__name__)

Identity: TypeAlias = tuple[int, int, int]
"""Tells a file from every one that was or will be in its place."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What is served.

    Attributes:
        layouts: The digest of the layouts that states are kept under.
        models: The versions of the models by name.
    """

    layouts: str
    models: dict[str, int]

    @classmethod
    def of(cls, live: LiveSet) -> Self:
        """Return what a set of models says of itself."""
        return cls(layouts=live.layouts.digest, models={name: model.version for name, model in live.models.items()})


@dataclass(frozen=True, slots=True)
class ServedFile:
    """The file.

    Attributes:
        path: Where it is.
    """

    path: Path

    def write(self, live: LiveSet) -> None:
        """Say what is served; where the disk refuses, nothing is said, and others ask the owner."""
        temporary = self.path.with_suffix(".new")
        try:
            temporary.write_bytes(msgspec.json.encode(Served.of(live)))
            temporary.replace(self.path)
        except OSError as error:
            logger.warning("What is served could not be noted: %s. API workers ask the owner for every read.", error)

    def withdraw(self) -> None:
        """Say nothing any more."""
        self.path.unlink(missing_ok=True)

    def identity(self) -> Identity | None:
        """Return what tells the file from others, None where there is none."""
        with suppress(FileNotFoundError):
            return _identity(os.stat(self.path))  # noqa: PTH116 - for every read, so the shortest way
        return None

    def read(self) -> tuple[Identity, Served] | None:
        """Return which file it is, and what it says; None where there is none that can be read."""
        try:
            with self.path.open("rb") as file:
                return _identity(os.fstat(file.fileno())), msgspec.json.decode(file.read(), type=Served)
        except (OSError, msgspec.DecodeError):
            return None


def _identity(found: os.stat_result) -> Identity:
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns
