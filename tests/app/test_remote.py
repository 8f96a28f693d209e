"""Errors of a running owner are those it raised."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import msgspec
import pytest

from streamgauge import errors
from streamgauge.app.remote import RemoteService, answers_at, error_of
from streamgauge.app.service import quiet
from streamgauge.app.settings import Place, Settings
from streamgauge.errors import EventRejected, OwnerBusy, StreamgaugeError, UnknownName


def test_a_problem_is_raised_again_as_the_error_it_was() -> None:
    error = error_of(msgspec.json.encode({"error": "UnknownName", "detail": "No such model."}))
    assert type(error) is UnknownName
    assert str(error) == "No such model."


@pytest.mark.parametrize("name", [name for name, kind in vars(errors).items() if isinstance(kind, type)])
def test_every_error_comes_back(name: str) -> None:
    error = error_of(msgspec.json.encode({"error": name, "detail": "why"}))
    assert type(error).__name__ == name
    assert str(error) == "why"


def test_a_rejected_event_keeps_its_reason_and_field() -> None:
    fault = {"place": "$.event.amount", "detail": "d", "reason": "wrong_type"}
    error = error_of(msgspec.json.encode({"error": "EventRejected", "detail": "d", "errors": [fault]}))
    assert isinstance(error, EventRejected)
    assert (error.reason, error.field) == ("wrong_type", "amount")


def test_another_problem_shows_its_places() -> None:
    fault = {"place": "query.last", "detail": "It is 0."}
    error = error_of(msgspec.json.encode({"code": "invalid-parameter", "detail": "No.", "errors": [fault]}))
    assert type(error) is StreamgaugeError
    assert str(error) == "No. query.last: It is 0."
    assert "no problem" in str(error_of(b"<html>"))


def test_an_owner_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    place = Place(tmp_path, Settings())
    assert not answers_at(place.socket)
    with pytest.raises(OwnerBusy, match="try again"):
        RemoteService(place).verify(quiet)


def accept_and_close(listener: socket.socket) -> None:
    listener.accept()[0].close()


def test_an_owner_that_dies_while_asked_is_said_to_be(tmp_path: Path) -> None:
    place = Place(tmp_path, Settings())
    place.data.mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.socket))
        listener.listen()
        listener.settimeout(5)
        assert answers_at(place.socket)
        listener.accept()[0].close()
        threading.Thread(target=accept_and_close, args=(listener,)).start()
        with pytest.raises(OwnerBusy, match="ended before it answered"):
            RemoteService(place).models()
