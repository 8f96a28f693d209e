"""API keys: 256 random bits each, stored as hashes, with the scopes they open."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from streamgauge.app.answers import iso
from streamgauge.errors import SettingsError, UnknownName, close_match

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SCOPES: Final = ("ingest", "read", "decide", "fairness", "admin")
"""What a key can open; ``admin`` opens everything."""

_PREFIX: Final = "sg_"
_LONGEST_NAME: Final = 80
_ID_LENGTH: Final = 8


class KeyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a key; the key itself is not.

    Attributes:
        id: The beginning of its hash.
        name: What its holder is called; unique.
        scopes: What it opens, of `SCOPES`.
        created: When it was made, ISO-8601 in UTC.
    """

    id: str
    name: str
    scopes: list[str]
    created: str

    def opens(self, scope: str) -> bool:
        """Return whether the key opens a scope.

        >>> KeyEntry(id="1", name="ops", scopes=["admin"], created="").opens("read")
        True
        """
        return scope in self.scopes or "admin" in self.scopes


class _Stored(KeyEntry, frozen=True, kw_only=True):
    sha256: str


class _File(msgspec.Struct, frozen=True):
    keys: list[_Stored]


class Keys:
    """The keys of one data directory, in one JSON file that only its owner may read.

    A running server sees a new or revoked key at the next request: the file is read again when it has changed.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path; the file need not exist."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[tuple[bytes, KeyEntry]] = []

    def create(self, name: str, scopes: Sequence[str], now_us: int) -> tuple[str, KeyEntry]:
        """Make a key, store its hash, and return the key, which is shown this once.

        Args:
            name: What its holder is called.
            scopes: At least one of `SCOPES`.
            now_us: The present moment, µs.

        Raises:
            SettingsError: The name is taken or unusable, or there is no scope.
            UnknownName: A scope does not exist.
        """
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise UnknownName(f'There is no scope "{unknown[0]}". {close_match(unknown[0], SCOPES)}')
        if not scopes:
            raise SettingsError(f"A key without a scope opens nothing. Give at least one of: {', '.join(SCOPES)}.")
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise SettingsError(f"A key's name is 1 to {_LONGEST_NAME} printable characters, such as: scoring-service.")
        key = _PREFIX + base64.b32encode(secrets.token_bytes(32)).decode("ascii").rstrip("=").lower()
        digest = hashlib.sha256(key.encode("ascii")).hexdigest()
        ordered = [scope for scope in SCOPES if scope in scopes]
        entry = _Stored(id=digest[:_ID_LENGTH], name=name, scopes=ordered, created=iso(now_us), sha256=digest)
        with self._changing():
            stored = self._read()
            if any(other.name == name for other in stored):
                raise SettingsError(f'There is a key named "{name}" already. Revoke it first, or choose another name.')
            self._write([*stored, entry])
        return key, _public(entry)

    def all(self) -> list[KeyEntry]:
        """Return what is known of every key, oldest first.

        Raises:
            SettingsError: The file is damaged.
        """
        return [_public(stored) for stored in self._read()]

    def revoke(self, which: str) -> KeyEntry:
        """Remove a key by its name or id, and return what was known of it.

        Raises:
            UnknownName: There is none.
        """
        with self._changing():
            stored = self._read()
            found = [key for key in stored if which in {key.name, key.id}]
            if not found:
                raise UnknownName(f'There is no key "{which}". {close_match(which, (key.name for key in stored))}')
            self._write([key for key in stored if key is not found[0]])
        return _public(found[0])

    def find(self, key: str) -> KeyEntry | None:
        """Return what is known of a presented key, or None; takes as long whichever it is.

        Raises:
            SettingsError: The file is damaged.
        """
        self._refresh()
        presented = hashlib.sha256(key.encode("utf-8", "replace")).digest()
        found = None
        for digest, entry in self._keys:
            if hmac.compare_digest(digest, presented):
                found = entry
        return found

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - asked for with every request
        except FileNotFoundError:
            self._seen, self._keys = None, []
            return
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._keys = [(bytes.fromhex(stored.sha256), _public(stored)) for stored in self._read()]
            self._seen = seen

    def _read(self) -> list[_Stored]:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return []
        try:
            keys = msgspec.json.decode(data, type=_File).keys
            return [key for key in keys if len(bytes.fromhex(key.sha256)) == hashlib.sha256().digest_size]
        except (msgspec.DecodeError, ValueError) as error:
            raise SettingsError(
                f"{self._path} holds no API keys: {error}. Remove it, and create the keys anew."
            ) from error

    def _write(self, keys: list[_Stored]) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as writer:
            writer.write(msgspec.json.format(msgspec.json.encode(_File(keys)), indent=2) + b"\n")
            writer.flush()
            os.fsync(writer.fileno())
        fresh.replace(self._path)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Let one process change the keys at a time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _public(stored: _Stored) -> KeyEntry:
    return KeyEntry(id=stored.id, name=stored.name, scopes=stored.scopes, created=stored.created)
