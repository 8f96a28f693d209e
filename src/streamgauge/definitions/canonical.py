"""One form of a definition, and its hash: two definitions that mean the same to a computer have the same hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Final

_UNHASHED: Final = frozenset(
    {"line", "doc", "reason", "why", "owner", "purpose", "tier", "limitations", "source", "unknown"}
)
"""What people read and computers do not."""


def canonical(spec: object) -> Any:  # noqa: ANN401 - JSON
    """Return a spec as lists, texts, numbers and mappings.

    Lines, docstrings, reasons' texts, a model's card and what becomes of unknown fields are no part of it, nor are
    attributes that have their default, so that a later version may add some.

    >>> from streamgauge.definitions.specs import WindowSpec
    >>> canonical(WindowSpec("last", 5, 3))
    {'kind': 'last', 'width_us': 5, 'n': 3}
    """
    if is_dataclass(spec) and not isinstance(spec, type):
        return {
            item.name: canonical(value)
            for item in fields(spec)
            if item.name not in _UNHASHED and not _is_default(item, value := getattr(spec, item.name))
        }
    if isinstance(spec, tuple | list):
        return [canonical(item) for item in spec]
    if isinstance(spec, dict):
        return {str(name): canonical(value) for name, value in spec.items()}
    if spec is None or isinstance(spec, bool | int | float | str):
        return spec
    raise TypeError(f"{type(spec).__name__} has no canonical form.")


def digest(spec: object) -> str:
    """Return the SHA-256 of a spec's canonical form, in hexadecimal.

    >>> from streamgauge.definitions.specs import WindowSpec
    >>> digest(WindowSpec("life"))[:12]
    'c16b9c64ffb5'
    """
    text = json.dumps(canonical(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_default(item: Any, value: object) -> bool:  # noqa: ANN401 - a dataclass's field of any type
    if item.default is not MISSING:
        return bool(item.default == value and type(item.default) is type(value))
    return bool(item.default_factory is not MISSING and not value)
