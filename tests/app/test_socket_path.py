from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from streamgauge.app.socket_path import SocketPath

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("depth", [0, 12])
def test_a_socket_is_bound_and_reached_however_deep_it_lies(tmp_path: Path, depth: int) -> None:
    directory = tmp_path.joinpath(*["a-directory-deep-down"] * depth)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "owner.sock"
    with SocketPath(path) as bound, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(bound.address)
        listener.listen()
        assert path.is_socket()
        with SocketPath(path) as reached, socket.socket(socket.AF_UNIX) as caller:
            caller.connect(reached.address)


def test_closing_twice_is_allowed(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    path = SocketPath(directory / "owner.sock")
    assert os.path.exists(path.address.rpartition("/")[0])  # noqa: PTH110 - a text, as the system takes it
    path.close()
    path.close()
