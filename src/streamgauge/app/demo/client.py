"""The demo's callers: HTTP on a kept connection, and the stream of scores."""

from __future__ import annotations

import http.client
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from streamgauge.app.demo.figures import LiveScore
from streamgauge.app.remote import error_of

if TYPE_CHECKING:
    from streamgauge.app.demo.figures import Figures

_REFUSED: Final = 400
_TIMEOUT_S: Final = 30.0


class Caller:
    """One kept connection to the API; one thread at a time may use it."""

    def __init__(self, url: str, key: str) -> None:
        """Keep where and with which key; the first call connects."""
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=_TIMEOUT_S)
        self._headers = {"authorization": f"Bearer {key}"}

    def post(self, path: str, body: object, *, accept: tuple[int, ...] = ()) -> dict[str, Any]:
        """Post JSON and return the answer.

        Args:
            path: The route.
            body: What is sent.
            accept: Statuses of problems that are answers here.

        Raises:
            StreamgaugeError: The API refused.
            OSError: There is no connection.
        """
        headers = {**self._headers, "content-type": "application/json"}
        self._connection.request("POST", path, msgspec.json.encode(body), headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status >= _REFUSED and response.status not in accept:
            raise error_of(data)
        return msgspec.json.decode(data, type=dict[str, Any])

    def open(self, path: str) -> http.client.HTTPResponse:
        """Get a route whose answer does not end.

        Raises:
            StreamgaugeError: The API refused.
        """
        self._connection.request("GET", path, headers={**self._headers, "accept": "text/event-stream"})
        response = self._connection.getresponse()
        if response.status >= _REFUSED:
            raise error_of(response.read())
        return response

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class _Arrived(LiveScore, frozen=True):
    accepted_at: datetime


class ScoreListener:
    """Follows ``/v1/scores/stream`` in a thread, and measures how fresh each score is when it arrives."""

    def __init__(self, caller: Caller, figures: Figures) -> None:
        """Connect and begin to listen; returns once the stream is open."""
        self._caller = caller
        self._figures = figures
        self._decoder = msgspec.json.Decoder(_Arrived)
        self._response = caller.open("/v1/scores/stream")
        self._response.readline()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="scores", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping = True

    def _run(self) -> None:
        try:
            while not self._stopping:
                line = self._response.readline()
                if not line:
                    return
                if line.startswith(b"data:"):
                    score = self._decoder.decode(line[5:])
                    self._figures.scored(score, time.time() - score.accepted_at.timestamp())
        except (OSError, http.client.HTTPException, ValueError):
            if not self._stopping:
                raise
