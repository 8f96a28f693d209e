"""Reads that a worker answers by itself: newest scores and features from the states, decisions from the ledger.

A worker opens the same files as the owner, for reading only: the states' memory map, the log and the ledger. Whatever
is unusual (an import or an erasure under way, other models served since, a state that no longer holds what is asked
for, any error) is left to the owner. What is answered here is what the owner would answer: the position comes from the
store before anything else is read, and that nothing else is served by now is checked after everything was.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from streamgauge.app import wiring
from streamgauge.app.api.entities import NAMES
from streamgauge.app.api.operations import answered
from streamgauge.app.api.parameters import Parameters
from streamgauge.app.deciding import answer_of
from streamgauge.app.live import LiveSet
from streamgauge.app.reading import Question, Reader
from streamgauge.app.replies import record_answer
from streamgauge.app.served import Identity, Served, ServedFile
from streamgauge.definitions.roles import named_key
from streamgauge.errors import StateDamaged, StreamgaugeError
from streamgauge.features.decode import SchemaBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from streamgauge.app.answers import FeaturesAnswer, ScoreAnswer
    from streamgauge.app.settings import Place
    from streamgauge.clock import Clock
    from streamgauge.features.bind import BoundProgram
    from streamgauge.features.store import StateStore
    from streamgauge.log.port import Log

logger = logging.getLogger(__name__)

_PAUSE_S: Final = 2.0
"""After what could not be opened."""


class Elsewhere(Exception):
    """The owner answers this."""


@dataclass(slots=True)
class Applied:
    """The newest applied position, as `streamgauge.app.publishing.Publisher` has it in the owner.

    Attributes:
        position: The position.
        known_at: The ``accepted_at`` of its record, µs.
    """

    position: int = 0
    known_at: int = 0


class StateReader(Reader):
    """Answers from states alone."""

    def _from_log(self, question: Question, bound: BoundProgram) -> NoReturn:  # noqa: ARG002 - the owner's form
        raise Elsewhere


class ServedStates:
    """The models that the owner serves and their states, open for reading; for one thread.

    Attributes:
        identity: Of the file that said what is served.
        reader: Answers from them.
    """

    def __init__(self, place: Place, clock: Clock) -> None:
        """Open what is served now.

        Raises:
            Elsewhere: Nothing is, or what the registry names as champions is not it.
        """
        self._file = ServedFile(place.served)
        self._marks = (place.import_mark, place.erasure_mark)
        found = self._file.read()
        if found is None:
            raise Elsewhere
        self.identity: Identity = found[0]
        registry = wiring.open_registry(place)
        champions = {name: one.version for name in registry.models() if (one := registry.champion(name)) is not None}
        if champions != found[1].models:
            raise Elsewhere
        live = LiveSet.champions(registry)
        if Served.of(live) != found[1]:
            raise Elsewhere
        with ExitStack() as undo:
            self._log: Log = undo.enter_context(closing(wiring.open_log(place, reads_only=True)))
            self._store: StateStore = undo.enter_context(
                closing(wiring.open_store(place, live.layouts.digest, reads_only=True))
            )
            if self._store.stale:
                raise Elsewhere
            book = SchemaBook(self._log.schema)
            for number in range(1, len(self._log.schemas()) + 1):
                book.spec(number)  # what the owner has met
            self._newest = Applied()
            self.reader = StateReader(self._log, self._store, live, book, self._newest, clock, ())
            self._warm(live)
            undo.pop_all()

    def score(self, entity: str, model: str | None, min_position: int) -> ScoreAnswer:
        """Return an entity's newest score; see `streamgauge.app.service.Service.score`.

        Raises:
            Elsewhere: The owner answers this.
        """
        served = self.reader.model(model, entities=True)
        self._begin(min_position)
        answer = self.reader.score(Question(f"{served.serving.role}:{entity}"), served)
        self._end()
        return answer

    def features(self, entity: str, model: str | None, min_position: int) -> FeaturesAnswer:
        """Return an entity's newest features by a model; see `streamgauge.app.service.Service.features`.

        Raises:
            Elsewhere: The owner answers this.
        """
        if model is None:
            raise Elsewhere
        served = self.reader.model(model, entities=False)
        self._begin(min_position)
        key = named_key(entity, served.roles()) or f"{served.serving.role}:{entity}"
        answer = self.reader.features(Question(key), served)
        self._end()
        return answer

    def is_served(self) -> bool:
        """Return whether this is what the owner serves now."""
        return self._file.identity() == self.identity

    def close(self) -> None:
        """Release the files."""
        self._store.close()
        self._log.close()

    def _begin(self, min_position: int) -> None:
        """Note the newest position, whose records' states are whole."""
        applied = self._store.applied()
        if applied < max(min_position, 1):
            raise Elsewhere
        if applied != self._newest.position:
            record = self._log.get(applied)
            if record is None:
                raise Elsewhere
            self._newest.position, self._newest.known_at = applied, record.accepted_at
        self._check_marks()

    def _end(self) -> None:
        """Check that what was read is what is served."""
        self._check_marks()
        if not self.is_served():
            raise Elsewhere

    def _check_marks(self) -> None:
        if any(map(os.path.exists, self._marks)):
            raise Elsewhere

    def _warm(self, live: LiveSet) -> None:
        """Compile and load what the first read would wait for."""
        with suppress(Exception):
            self._begin(0)
            for model in live.grid_models():
                prefix = f"{model.serving.role}:"
                key = next((one for one in self._store.entities() if one.startswith(prefix)), None)
                if key is not None:
                    self.reader.features(Question(key), model)
                    self.reader.score(Question(key), model)


class LocalReads:
    """What a worker answers by itself, opened again whenever the owner serves something else."""

    def __init__(self, place: Place, clock: Clock) -> None:
        """Open nothing yet.

        Args:
            place: The project directory.
            clock: The present.
        """
        self._place = place
        self._clock = clock
        self._states: ServedStates | None = None
        self._opening: asyncio.Task[None] | None = None
        self._decisions = wiring.open_decisions(place)

    def score(self, request: Request) -> Response | None:
        """Return the answer to ``get_score``, or None where the owner is to give it."""
        return self._answer(request, ServedStates.score)

    def features(self, request: Request) -> Response | None:
        """Return the answer to ``get_features``, or None where the owner is to give it."""
        return self._answer(request, ServedStates.features)

    def decision(self, request: Request) -> Response | None:
        """Return the answer to ``get_decision``, or None where the owner is to give it."""
        try:
            full = Parameters(request, ("full",)).flag("full")
            entry = self._decisions.get(request.path_params["decision_id"])
            if entry is None:
                return None
            if full:
                return answered(record_answer(entry))
            return answered(answer_of(entry.require(), entry.digest, entry.seq, repeated=False))
        except Exception:  # noqa: BLE001 - the owner finds it too, and says so
            return None

    def open(self, pause_s: float = 0.0) -> None:
        """Open what is served, in another thread and after a pause, unless that is under way."""
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open(pause_s))

    def close(self) -> None:
        """Release the files."""
        if self._opening is not None:
            self._opening.cancel()
        self._put(None)
        self._decisions.close()

    def _answer(
        self, request: Request, read: Callable[[ServedStates, str, str | None, int], FeaturesAnswer | ScoreAnswer]
    ) -> Response | None:
        states = self._states
        if states is None:
            self.open()
            return None
        try:
            parameters = Parameters(request, NAMES)
            if parameters.moment("as_of") is not None or parameters.integer("position", 1) is not None:
                return None
            least = parameters.integer("min_position") or 0
            return answered(read(states, request.path_params["entity"], parameters.text("model"), least))
        except Exception as error:  # noqa: BLE001 - the owner finds it too, and says so
            expected = isinstance(error, Elsewhere | StreamgaugeError) and not isinstance(error, StateDamaged)
            if not (expected and states.is_served()):
                self._put(None)
                self.open(pause_s=0.0 if expected else _PAUSE_S)
            return None

    def _put(self, states: ServedStates | None) -> None:
        old, self._states = self._states, states
        if old is not None:
            old.close()

    async def _open(self, pause_s: float) -> None:
        self._put(None)  # LMDB must not open a file twice in a process
        await asyncio.sleep(pause_s)
        opening = asyncio.ensure_future(asyncio.to_thread(self._opened))
        try:
            found = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_closed)
            raise
        if found is None:
            await asyncio.sleep(_PAUSE_S)
        else:
            self._put(found)

    def _opened(self) -> ServedStates | None:
        try:
            return ServedStates(self._place, self._clock)
        except Elsewhere:
            return None
        except Exception as error:  # noqa: BLE001 - then the owner answers every read
            logger.warning("What is served could not be opened for reading: %s. The owner answers every read.", error)
            return None


def _closed(opening: asyncio.Future[ServedStates | None]) -> None:
    if not opening.cancelled() and (states := opening.result()) is not None:
        states.close()
