"""The real server: TCP and the Unix socket in one process."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from streamgauge.app.api.serving import Serving
from streamgauge.app.keys import Keys
from streamgauge.app.owner import Owner
from streamgauge.app.settings import Place, find_place
from streamgauge.app.socket_path import SocketPath
from streamgauge.errors import OwnerBusy, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streamgauge.clock import FixedClock
    from tests.app.conftest import Lender

pytestmark = pytest.mark.e2e

MOVEMENT = {
    "stream": "Movement",
    "account": "acc-00007",
    "booked_at": "2026-01-01T08:00:00Z",
    "amount": "10.00",
    "kind": "sales",
}


@contextmanager
def served(place: Place, clock: FixedClock) -> Iterator[Serving]:
    """Serve on a thread until the test is done."""
    started: Future[str] = Future()
    serving = Serving(Owner.open(place, clock=clock), on_started=started.set_result)
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        assert started.result(20) == serving.url
        yield serving
    finally:
        serving.stop()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def place(lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = lender.copy(tmp_path_factory.mktemp("served") / "lender").root
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMGAUGE_API__PORT", "0")
        yield find_place(root)


@pytest.fixture(scope="module")
def serving(place: Place, clock: FixedClock) -> Iterator[Serving]:
    with served(place, clock) as serving:
        yield serving


@pytest.fixture(scope="module")
def key(place: Place) -> str:
    return Keys(place.keys).create("tests", ["admin"], 0)[0]


@pytest.fixture
def tcp(serving: Serving, key: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serving.url, headers={"authorization": f"Bearer {key}"}) as client:
        yield client


@pytest.fixture
def unix(serving: Serving) -> Iterator[httpx.Client]:
    with (
        SocketPath(serving.owner.place.socket) as path,
        httpx.Client(base_url="http://owner", transport=httpx.HTTPTransport(uds=path.address)) as client,
    ):
        yield client


def test_both_sockets_answer_from_one_owner(tcp: httpx.Client, unix: httpx.Client) -> None:
    position = tcp.post("/v1/events?wait=applied", json={**MOVEMENT, "id": "v-1"}).json()["position"]
    assert unix.get("/v1/entities/acc-00007/score").json()["position"] >= position
    assert unix.post("/internal/verify", json={}).text.endswith("\n")


def test_the_network_needs_a_key_and_has_no_internal_routes(tcp: httpx.Client) -> None:
    assert tcp.get("/v1/models", headers={"authorization": ""}).status_code == 401
    assert tcp.post("/internal/reload", json={}).status_code == 404


def test_only_the_owners_user_may_connect_to_the_socket(serving: Serving) -> None:
    assert stat.S_IMODE(serving.owner.place.socket.stat().st_mode) == 0o600


def test_a_body_of_unknown_length_is_bounded_too(tcp: httpx.Client, serving: Serving) -> None:
    chunk = b" " * 2**20
    chunks = serving.owner.place.settings.api.max_body_bytes // len(chunk) + 1
    answer = tcp.post("/v1/events", content=iter([chunk] * chunks))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_bytes_that_are_no_http_do_not_stop_the_server(serving: Serving, tcp: httpx.Client) -> None:
    address = httpx.URL(serving.url)
    with socket.create_connection((address.host, address.port or 0), 5) as raw:
        raw.sendall(b"\x00\xff nonsense\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert tcp.get("/healthz").is_success


def test_many_callers_at_once_are_all_answered(serving: Serving, key: str) -> None:
    async def ask() -> list[httpx.Response]:
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=serving.url, headers=headers, timeout=30) as client:
            events = [{**MOVEMENT, "id": f"many-{number}", "account": f"m-{number % 7}"} for number in range(60)]
            posts = [client.post("/v1/events?wait=applied", json=event) for event in events]
            reads = [client.get("/v1/entities/acc-00007/score") for _ in range(60)]
            return await asyncio.gather(*posts, *reads)

    answers = asyncio.run(ask())
    assert [answer.status_code for answer in answers] == [200] * 120
    positions = {answer.json()["position"] for answer in answers[:60]}
    assert len(positions) == 60


def test_a_second_server_on_the_same_port_is_refused_with_the_next_step(
    serving: Serving, lender: Lender, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_API__PORT", str(httpx.URL(serving.url).port))
    other = find_place(lender.copy(tmp_path / "other").root)
    with pytest.raises(SettingsError, match=r"\[api\] host and port"):
        Serving(Owner.open(other, clock=clock)).run()
    Owner.open(other, clock=clock).close()


def test_stopping_ends_streams_finishes_calls_and_releases_the_directory(
    lender: Lender, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_API__PORT", "0")
    place = find_place(lender.copy(tmp_path / "stopped").root)
    key, _ = Keys(place.keys).create("tests", ["admin"], 0)
    headers = {"authorization": f"Bearer {key}"}
    with served(place, clock) as serving:
        with pytest.raises(OwnerBusy):
            Owner.open(place, clock=clock)
        with httpx.stream("GET", f"{serving.url}/v1/scores/stream", headers=headers, timeout=30) as stream:
            text = stream.iter_raw()
            assert next(text) == b": connected\n\n"
            position = httpx.post(f"{serving.url}/v1/events", json={**MOVEMENT, "id": "last"}, headers=headers).json()[
                "position"
            ]
            while b'"event_id":"last"' not in next(text):
                pass
            serving.stop()
            assert b"".join(text) == b"", "the stream ends, and the connection is closed in order"
    assert not place.socket.exists()
    with Owner.open(place, clock=clock) as owner:
        assert owner.publisher.position == position


def test_a_stale_socket_is_in_nobodys_way(
    lender: Lender, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGAUGE_API__PORT", "0")
    root = tmp_path / ("deep" * 20) / "lender"
    root.parent.mkdir()
    place = find_place(lender.copy(root).root)
    os.mkfifo(place.socket)
    with (
        served(place, clock),
        SocketPath(place.socket) as path,
        httpx.Client(transport=httpx.HTTPTransport(uds=path.address)) as client,
    ):
        assert client.get("http://owner/healthz").is_success
