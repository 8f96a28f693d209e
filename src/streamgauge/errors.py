"""Every error of Streamgauge, at one glance.

::

    StreamgaugeError
    ├── DefinitionError            the project file is wrong: names the line, the value and the close match
    ├── SettingsError              streamgauge.toml or the environment is wrong or incomplete
    ├── EventRejected              an event cannot be accepted: goes to the quarantine with this reason
    ├── ImportRefused              a whole import cannot be accepted (no arrival declared, a column is missing)
    ├── UnknownName                a model, entity, stream, decision or feature that does not exist
    ├── ReadRefused                a read that has no answer
    │   ├── Inactive               the entity is not in the model's population at that moment
    │   ├── NeedsEvent             an event model has no score without its event
    │   ├── PositionNotReached     a bounded wait expired (retriable)
    │   └── DecisionErased         the decision's record was erased on purpose
    ├── TrainingRefused            no model can be fitted, or the fitted one may not be registered
    │   ├── SpanTooShort           a part of the split is empty
    │   └── LeakFound              a feature knows the outcome
    ├── ModelError                 a model artefact cannot be made or used
    │   ├── ParityError            the exported model disagrees with the fitted one
    │   ├── ArtefactAltered        a part does not have the hash the manifest records
    │   └── AdditivityError        contributions do not add up to the margin
    ├── DecisionConflict           a decision id was used before with another body
    ├── DecisionInvalid            a decision's record holds a value that cannot be written or read
    ├── LedgerBroken               the decision ledger fails its own check
    ├── LedgerUnavailable          the decision ledger cannot be written now; send again (retriable)
    ├── StateDamaged               a state value cannot be read; it is rebuilt from the log
    ├── BeyondState                a state no longer holds what a read or an import needs; the log does
    ├── LogDamaged                 the event log fails its own check
    └── OwnerBusy                  another process owns the data directory (retriable)
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


class StreamgaugeError(Exception):
    """What every error of Streamgauge derives from; its text is the whole message for an operator."""

    retriable: ClassVar[bool] = False


class DefinitionError(StreamgaugeError):
    """The project file is wrong.

    Attributes:
        path: The file, or an empty string.
        line: The line, or 0.
    """

    def __init__(self, message: str, *, path: str = "", line: int = 0) -> None:
        """Keep the message and its place."""
        self.message = message
        self.path = path
        self.line = line
        place = f"{path}:{line}: " if path and line else (f"line {line}: " if line else "")
        super().__init__(place + message)


class SettingsError(StreamgaugeError):
    """A setting is wrong or missing; the message lists every place that was looked in."""


class EventRejected(StreamgaugeError):
    """An event cannot be accepted.

    Attributes:
        reason: A short machine-readable reason such as ``missing_field`` or ``too_late``.
        field: The field it is about, or an empty string.
    """

    def __init__(self, message: str, *, reason: str, field: str = "") -> None:
        """Keep the message, the reason and the field."""
        super().__init__(message)
        self.reason = reason
        self.field = field


class ImportRefused(StreamgaugeError):
    """A whole import cannot be accepted; nothing of it was written."""


class UnknownName(StreamgaugeError):
    """A model, entity, stream, decision or feature that does not exist."""


class ReadRefused(StreamgaugeError):
    """A read that has no answer."""


class Inactive(ReadRefused):
    """The entity is not in the model's population at that moment."""


class NeedsEvent(ReadRefused):
    """An event model has no score without its event: decide it instead."""


class PositionNotReached(ReadRefused):
    """The position was not applied within the time allowed; ask again."""

    retriable: ClassVar[bool] = True


class DecisionErased(ReadRefused):
    """The decision's record was erased on purpose; its place in the chain is left."""


class TrainingRefused(StreamgaugeError):
    """No model can be fitted, or the fitted one may not be registered."""


class SpanTooShort(TrainingRefused):
    """A part of the split is empty; the message says the span needed."""


class LeakFound(TrainingRefused):
    """A feature knows the outcome."""


class ModelError(StreamgaugeError):
    """A model artefact cannot be made or used."""


class ParityError(ModelError):
    """The exported model disagrees with the fitted one."""


class ArtefactAltered(ModelError):
    """A part of an artefact does not have the hash its manifest records."""


class AdditivityError(ModelError):
    """Contributions do not add up to the margin."""


class DecisionConflict(StreamgaugeError):
    """A decision id was used before with another body."""


class DecisionInvalid(StreamgaugeError):
    """A decision's record holds a value that cannot be written or read."""


class LedgerBroken(StreamgaugeError):
    """The decision ledger fails its own check."""


class LedgerUnavailable(StreamgaugeError):
    """The decision ledger cannot be written now; the same call may be made again and settles what is unclear."""

    retriable: ClassVar[bool] = True


class StateDamaged(StreamgaugeError):
    """A state value cannot be read; it is rebuilt from the log."""


class BeyondState(StreamgaugeError):
    """A state no longer holds what a read or an import needs: answer it, or rebuild the state, from the log."""


class LogDamaged(StreamgaugeError):
    """The event log fails its own check."""


class OwnerBusy(StreamgaugeError):
    """Another process owns the data directory."""

    retriable: ClassVar[bool] = True


def close_match(name: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the closest known name, or lists the known ones.

    >>> close_match("ammount", ["amount", "kind"])
    'Did you mean "amount"?'
    >>> close_match("zzz", ["amount", "kind"])
    'Known: amount, kind.'
    """
    names = sorted(set(known))
    near = get_close_matches(name, names, n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    if not names:
        return "None is known."
    shown = ", ".join(names[:12])
    return f"Known: {shown}, …" if len(names) > 12 else f"Known: {shown}."  # noqa: PLR2004 - what a line can hold
