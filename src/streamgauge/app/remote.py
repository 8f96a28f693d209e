"""The running owner, asked over its Unix socket: the same answers and the same errors as in its own process."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from streamgauge import errors
from streamgauge.app.answers import (
    DecisionAnswer,
    ErasureAnswer,
    FeaturesAnswer,
    ImportAnswer,
    IngestAnswer,
    ModelAnswer,
    QuarantineAnswer,
    RetryAnswer,
    ScoreAnswer,
    VerifyAnswer,
)
from streamgauge.app.schema_report import SchemaAnswer
from streamgauge.app.socket_path import SocketPath
from streamgauge.errors import EventRejected, OwnerBusy, StreamgaugeError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from streamgauge.app.service import Progress
    from streamgauge.app.settings import Place

T = TypeVar("T")

_OK: Final = 200
_CONNECT_S: Final = 5.0
_JSON: Final = "application/json"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket.

    Args:
        path: The socket.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("owner")
        self._path = path

    def connect(self) -> None:
        """Connect, however long the path is; once connected, wait for as long as an answer takes.

        Raises:
            OSError: Nobody listens.
        """
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_CONNECT_S)
        try:
            with SocketPath(self._path) as place:
                self.sock.connect(place.address)
        except OSError:
            self.close()
            raise
        self.sock.settimeout(None)


def answers_at(path: Path) -> bool:
    """Return whether an owner listens on a socket."""
    connection = UnixConnection(path)
    try:
        connection.connect()
    except OSError:
        return False
    connection.close()
    return True


class RemoteService:
    """A `streamgauge.app.service.Service` in another process.

    Every call takes a connection of its own, so any thread may call.
    """

    def __init__(self, place: Place) -> None:
        """Keep the project directory; nothing is opened.

        Args:
            place: The project directory whose owner is asked.
        """
        self.place = place

    def ingest(self, events: Sequence[Mapping[str, Any]], *, applied: bool = False) -> IngestAnswer:
        """See `Service.ingest`."""
        return self._long("/internal/ingest", {"events": list(events), "applied": applied}, IngestAnswer)

    def ingest_file(self, path: Path, stream: str, progress: Progress) -> IngestAnswer:
        """See `Service.ingest_file`."""
        body = {"path": str(path.resolve()), "stream": stream}
        return self._long("/internal/ingest-file", body, IngestAnswer, progress)

    def import_file(
        self,
        path: Path,
        stream: str,
        progress: Progress,
        *,
        known_after_us: int | None = None,
        known_at: str | None = None,
    ) -> ImportAnswer:
        """See `Service.import_file`."""
        body = {"path": str(path.resolve()), "stream": stream, "known_after_us": known_after_us, "known_at": known_at}
        return self._long("/internal/import-file", body, ImportAnswer, progress)

    def features(
        self,
        entity: str,
        *,
        model: str | None = None,
        as_of: int | None = None,
        position: int | None = None,
        min_position: int | None = None,
    ) -> FeaturesAnswer:
        """See `Service.features`."""
        asked = {"model": model, "as_of": as_of, "position": position, "min_position": min_position}
        return self._get(_entity(entity, "features"), asked, FeaturesAnswer)

    def score(
        self,
        entity: str,
        *,
        model: str | None = None,
        as_of: int | None = None,
        position: int | None = None,
        min_position: int | None = None,
    ) -> ScoreAnswer:
        """See `Service.score`."""
        asked = {"model": model, "as_of": as_of, "position": position, "min_position": min_position}
        return self._get(_entity(entity, "score"), asked, ScoreAnswer)

    def decide(self, decision_id: str | None, event: Mapping[str, Any]) -> DecisionAnswer:
        """See `Service.decide`."""
        if decision_id is None:
            return self._long("/internal/decide", {"event": dict(event)}, DecisionAnswer)
        body = self._request("POST", "/v1/decisions", {"decision_id": decision_id, "event": dict(event)})
        return msgspec.json.decode(body, type=DecisionAnswer)

    def decision(self, decision_id: str) -> DecisionAnswer:
        """See `Service.decision`."""
        return self._get(f"/v1/decisions/{quote(decision_id, safe='')}", {}, DecisionAnswer)

    def decision_record(self, decision_id: str) -> dict[str, Any]:
        """See `Service.decision_record`."""
        return self._get(f"/v1/decisions/{quote(decision_id, safe='')}", {"full": "true"}, dict[str, Any])

    def verify(self, progress: Progress, *, last: int | None = None) -> VerifyAnswer:
        """See `Service.verify`."""
        return self._long("/internal/verify", {"last": last}, VerifyAnswer, progress)

    def portfolio(self, out: Path, progress: Progress, *, model: str | None = None) -> int:
        """See `Service.portfolio`."""
        return self._long("/internal/portfolio", {"out": str(out.resolve()), "model": model}, int, progress)

    def models(self) -> list[ModelAnswer]:
        """See `Service.models`."""
        return self._get("/v1/models", {}, list[ModelAnswer])

    def prepare(self, models: Sequence[str], progress: Progress) -> None:
        """See `Service.prepare`."""
        self._long("/internal/prepare", {"models": list(models)}, type(None), progress)

    def reload(self, progress: Progress) -> None:
        """See `Service.reload`."""
        self._long("/internal/reload", {}, type(None), progress)

    def quarantined(
        self,
        *,
        number: int | None = None,
        last: int = 100,
        before: int | None = None,
        reason: str | None = None,
        stream: str | None = None,
        resolved: bool | None = None,
    ) -> list[QuarantineAnswer]:
        """See `Service.quarantined`."""
        if number is not None:
            return [self._get(f"/v1/quarantine/{number}", {}, QuarantineAnswer)]
        state = None if resolved is None else "resolved" if resolved else "open"
        asked = {"last": last, "before": before, "reason": reason, "stream": stream, "state": state}
        return self._get("/v1/quarantine", asked, list[QuarantineAnswer])

    def retry(
        self, numbers: Sequence[int] | None = None, *, reason: str | None = None, stream: str | None = None
    ) -> RetryAnswer:
        """See `Service.retry`."""
        body = {"numbers": None if numbers is None else list(numbers), "reason": reason, "stream": stream}
        return msgspec.json.decode(self._request("POST", "/v1/quarantine/retry", body), type=RetryAnswer)

    def erase(
        self,
        entity: str,
        *,
        role: str | None = None,
        by: str = "",
        progress: Progress | None = None,
    ) -> ErasureAnswer:
        """See `Service.erase`."""
        return self._long("/internal/erase", {"entity": entity, "role": role, "by": by}, ErasureAnswer, progress)

    def erasures(self) -> list[ErasureAnswer]:
        """See `Service.erasures`."""
        return self._get("/v1/erasures", {}, list[ErasureAnswer])

    def schema(self) -> SchemaAnswer:
        """See `Service.schema`."""
        return self._get("/v1/schema", {}, SchemaAnswer)

    def close(self) -> None:
        """See `Service.close`; the owner goes on."""

    def _get(self, path: str, asked: Mapping[str, object], kind: type[T]) -> T:
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return msgspec.json.decode(self._request("GET", f"{path}?{query}" if query else path), type=kind)

    def _request(self, method: str, path: str, body: object = None) -> bytes:
        connection = UnixConnection(self.place.socket)
        try:
            response = _send(connection, method, path, body)
            data = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise _gone(self.place) from error
        finally:
            connection.close()
        if response.status >= _OK + 100:
            raise error_of(data)
        return data

    def _long(
        self,
        path: str,
        body: Mapping[str, Any],
        kind: type[T],
        progress: Progress | None = None,
    ) -> T:
        """Call a route that answers line by line: progress, then the answer or a problem."""
        connection = UnixConnection(self.place.socket)
        try:
            response = _send(connection, "POST", path, body)
            if response.status >= _OK + 100:
                raise error_of(response.read())
            for line in response:
                message = msgspec.json.decode(line) if line.strip() else {}
                if "problem" in message:
                    raise error_of(msgspec.json.encode(message["problem"]))
                if "answer" in message:
                    return msgspec.convert(message["answer"], kind)
                if "progress" in message and progress is not None:
                    progress(*message["progress"])
        except (OSError, http.client.HTTPException) as error:
            raise _gone(self.place) from error
        finally:
            connection.close()
        raise _gone(self.place)


def error_of(body: bytes) -> StreamgaugeError:
    """Return the error that a problem is, of the class it had where it was raised.

    >>> error_of(b'{"error": "UnknownName", "detail": "No such model."}')
    UnknownName('No such model.')
    """
    try:
        problem: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return StreamgaugeError(f"The owner answered what is no problem: {body[:200]!r}. Look at its output.")
    detail = str(problem.get("detail") or problem.get("title") or "The owner refused and did not say why.")
    kind = getattr(errors, str(problem.get("error")), None)
    if kind is EventRejected:
        first = next(iter(problem.get("errors") or [{}]))
        field = str(first.get("place", "")).rpartition(".")[2].removeprefix("$")
        return EventRejected(detail, reason=str(first.get("reason", "")), field="" if field == "event" else field)
    if isinstance(kind, type) and issubclass(kind, StreamgaugeError):
        return kind(detail)
    faults = " ".join(f"{one.get('place')}: {one.get('detail')}" for one in problem.get("errors") or [])
    return StreamgaugeError(f"{detail} {faults}".strip())


def _send(connection: UnixConnection, method: str, path: str, body: object) -> http.client.HTTPResponse:
    data = None if body is None else msgspec.json.encode(body, enc_hook=str)
    connection.request(method, path, body=data, headers={"content-type": _JSON} if data is not None else {})
    return connection.getresponse()


def _entity(entity: str, what: str) -> str:
    return f"/v1/entities/{quote(entity, safe='')}/{what}"


def _gone(place: Place) -> OwnerBusy:
    return OwnerBusy(
        f"The owner of {place.data} ended before it answered. What it acknowledged is durable; "
        "look at its output, and try again."
    )
