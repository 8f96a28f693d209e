"""The serving directory: registered models and policies as plain files, read without MLflow.

::

    <name>/champion.json             the version that serves
    <name>/policies/<n>.json         policy versions; active.json names the one in force
    <name>/<version>/model.json      its entry
    <name>/<version>/artefact/       its artefact, each part under its hash
    <name>/<version>/run/            report.json, rows.parquet, plots
    <name>/<version>/tracked.json    its tracking run, once there is one

A version is written beside its place and moved there whole; what was written is never changed, but for the rows of an
entity that is erased.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from streamgauge.errors import ArtefactAltered, ModelError
from streamgauge.models.registry import RegisteredModel
from streamgauge.scoring.artefact import ModelArtefact
from streamgauge.scoring.policy import RegisteredPolicy

if TYPE_CHECKING:
    import polars as pl

ENTRY: Final = "model.json"
TRACKED: Final = "tracked.json"
ARTEFACT: Final = "artefact"
RUN: Final = "run"
ROWS: Final = "rows.parquet"
_CHAMPION: Final = "champion.json"
_POLICIES: Final = "policies"
_ACTIVE: Final = "active.json"

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Pointer(msgspec.Struct, frozen=True):
    """Names a version and its hash."""

    version: int
    sha256: str


class Tracked(msgspec.Struct, frozen=True):
    """Names a tracking run, and MLflow's own number for the version."""

    run_id: str
    mlflow_version: str


class ServingDirectory:
    """Registered models and policies below one directory."""

    def __init__(self, root: Path) -> None:
        """Read and write below ``root``, which need not exist yet."""
        self.root = root

    def models(self) -> list[str]:
        """Return the names of all models, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if (entry / _CHAMPION).is_file())

    def versions(self, model: str) -> list[RegisteredModel]:
        """Return all versions, the oldest first."""
        champion = self._pointer(self.root / model / _CHAMPION)
        return [self._entry(model, number, champion) for number in self._numbers(model)]

    def champion(self, model: str) -> RegisteredModel | None:
        """Return the version that serves, or None.

        Raises:
            ArtefactAltered: Its entry is not the one that was put in its place.
        """
        path = self.root / model / _CHAMPION
        pointer = self._pointer(path)
        if pointer is None:
            return None
        entry = self._entry(model, pointer.version, pointer)
        if entry.sha256 != pointer.sha256:
            raise ArtefactAltered(
                _altered(self.home(model, pointer.version) / ENTRY, entry.sha256, pointer.sha256, path)
            )
        return entry

    def artefact(self, registered: RegisteredModel) -> ModelArtefact:
        """Return a version's artefact, its hashes verified.

        Raises:
            ArtefactAltered: A part is altered.
            ModelError: There is none.
        """
        return ModelArtefact.load(self.home(registered.name, registered.version) / ARTEFACT, registered.sha256)

    def rows(self, registered: RegisteredModel) -> pl.DataFrame:
        """Return a version's calibration and test rows.

        Raises:
            ModelError: There are none.
        """
        import polars as pl

        path = self.home(registered.name, registered.version) / RUN / ROWS
        if not path.is_file():
            raise ModelError(
                f'The calibration and test rows of model "{registered.name}" version {registered.version} are missing. '
                "Train it again."
            )
        return pl.read_parquet(path)

    def erase(self, entity: str) -> int:
        """Write every file of rows that holds an entity anew without it, tracked copies too; return how many rows."""
        import polars as pl

        erased = 0
        for path in self.root.rglob(ROWS):
            rows = pl.read_parquet(path)
            kept = rows.filter(pl.col("entity") != entity)
            if len(kept) < len(rows):
                erased += (len(rows) - len(kept)) * (path.parent.parent.parent.parent == self.root)
                temporary = path.with_suffix(".new")
                kept.write_parquet(temporary)
                with temporary.open("rb") as file:
                    os.fsync(file.fileno())
                temporary.replace(path)
        return erased

    def home(self, model: str, version: int) -> Path:
        """Return the directory of a version."""
        return self.root / model / str(version)

    def add(self, entry: RegisteredModel, artefact: ModelArtefact, run: dict[str, bytes]) -> RegisteredModel:
        """Write a version durably; the first of a model becomes champion.

        Args:
            entry: Its entry; version and path are set here.
            artefact: Its artefact.
            run: The files kept beside it, by name.
        """
        folder = self.root / entry.name
        folder.mkdir(parents=True, exist_ok=True)
        number = max(self._numbers(entry.name), default=0) + 1
        draft = folder / f".{number}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        artefact.save(draft / ARTEFACT)
        (draft / RUN).mkdir()
        for name, data in run.items():
            (draft / RUN / name).write_bytes(data)
        home = self.home(entry.name, number)
        stored = msgspec.structs.replace(entry, version=number, path="", alias_champion=False, run_id="")
        (draft / ENTRY).write_bytes(_pretty(stored))
        for path in sorted(draft.rglob("*")):
            _sync(path)
        _sync(draft)
        draft.rename(home)
        _sync(folder)
        _sync(self.root)
        if self._pointer(folder / _CHAMPION) is None:
            self.put(folder / _CHAMPION, Pointer(number, entry.sha256))
        return self._entry(entry.name, number, self._pointer(folder / _CHAMPION))

    def settle_champions(self) -> None:
        """Give each model that has versions and no champion its first one: a crash came between the two."""
        if not self.root.is_dir():
            return
        for folder in self.root.iterdir():
            numbers = self._numbers(folder.name)
            if numbers and not (folder / _CHAMPION).is_file():
                entry = self._entry(folder.name, numbers[0], None)
                self.put(folder / _CHAMPION, Pointer(entry.version, entry.sha256))

    def untracked(self) -> list[RegisteredModel]:
        """Return the versions that have no tracking run yet."""
        return [entry for name in self.models() for entry in self.versions(name) if not entry.run_id]

    def note_tracked(self, entry: RegisteredModel, tracked: Tracked) -> RegisteredModel:
        """Note a version's tracking run."""
        self.put(self.home(entry.name, entry.version) / TRACKED, tracked)
        return msgspec.structs.replace(entry, run_id=tracked.run_id)

    def policies(self, model: str) -> list[RegisteredPolicy]:
        """Return all policy versions of a model, the oldest first."""
        folder = self.root / model / _POLICIES
        numbers = _numbered(folder, ".json")
        return [_read(folder / f"{number}.json", RegisteredPolicy) for number in numbers]

    def policy(self, model: str) -> RegisteredPolicy | None:
        """Return the policy version in force, or None.

        Raises:
            ArtefactAltered: It is not the one that was put in force.
        """
        folder = self.root / model / _POLICIES
        pointer = self._pointer(folder / _ACTIVE)
        if pointer is None:
            return None
        path = folder / f"{pointer.version}.json"
        policy = _read(path, RegisteredPolicy)
        if policy.sha256 != pointer.sha256:
            raise ArtefactAltered(_altered(path, policy.sha256, pointer.sha256, folder / _ACTIVE))
        return policy

    def add_policy(self, policy: RegisteredPolicy) -> RegisteredPolicy:
        """Write a policy version durably, unless it is there, and put it in force."""
        folder = self.root / policy.model / _POLICIES
        folder.mkdir(parents=True, exist_ok=True)
        known = self.policies(policy.model)
        same = next((one for one in known if one.sha256 == policy.sha256), None)
        if same is None:
            same = msgspec.structs.replace(policy, version=max((one.version for one in known), default=0) + 1)
            self.put(folder / f"{same.version}.json", same)
        self.put(folder / _ACTIVE, Pointer(same.version, same.sha256))
        return same

    def put(self, path: Path, value: msgspec.Struct) -> None:
        """Write a file durably and whole."""
        draft = path.with_name(f".{path.name}.draft")
        draft.write_bytes(_pretty(value))
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)

    def _numbers(self, model: str) -> list[int]:
        return [number for number in _numbered(self.root / model, "") if (self.home(model, number) / ENTRY).is_file()]

    def _entry(self, model: str, number: int, champion: Pointer | None) -> RegisteredModel:
        home = self.home(model, number)
        entry = _read(home / ENTRY, RegisteredModel)
        tracked = _read(home / TRACKED, Tracked) if (home / TRACKED).is_file() else None
        return msgspec.structs.replace(
            entry,
            path=str(home / ARTEFACT),
            alias_champion=champion is not None and champion.version == number,
            run_id="" if tracked is None else tracked.run_id,
        )

    @staticmethod
    def _pointer(path: Path) -> Pointer | None:
        return _read(path, Pointer) if path.is_file() else None


def _numbered(folder: Path, suffix: str) -> list[int]:
    if not folder.is_dir():
        return []
    stems = [entry.name.removesuffix(suffix) for entry in folder.iterdir() if entry.name.endswith(suffix)]
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def _read(path: Path, kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path} cannot be read ({error}). Restore the models' directory from a backup.") from error


def _altered(path: Path, found: str, expected: str, pointer: Path) -> str:
    return (
        f"{path} was altered: SHA-256 {found[:12]}…, but {pointer.name} names {expected[:12]}…. "
        "Restore the models' directory from a backup, or register the policy or model again."
    )


def _pretty(value: msgspec.Struct) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot sync a directory
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
