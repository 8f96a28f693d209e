"""A process that the supervisor starts: ``python -m streamgauge.app.workers PART``."""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streamgauge.app.settings import Place, find_place
from streamgauge.app.workers.supervisor import Part
from streamgauge.errors import StreamgaugeError

if TYPE_CHECKING:
    from streamgauge.app.api.serving import Serving


def main() -> None:
    """Be what the supervisor asks for."""
    part = msgspec.json.decode(sys.argv[1], type=Part)
    place = find_place(Path(part.root))
    api = place.settings.api.model_copy(update={"host": part.host, "port": part.port})
    place = Place(place.root, place.settings.model_copy(update={"api": api}))
    if part.role == "owner":
        os.close(part.listener)
        _own(place, part.life)
    else:
        from streamgauge.app.workers.worker import run_worker

        listener = socket.socket(fileno=part.listener)
        listener.setblocking(False)  # noqa: FBT003 - the socket module's form
        run_worker(place, listener, part.life)


def _own(place: Place, life: int) -> None:
    from streamgauge.app.cli.terminal import Progress
    from streamgauge.app.compiling import CompilingLater
    from streamgauge.app.connect import become_owner

    serving: list[Serving] = []
    threading.Thread(target=_watch, args=(life, serving), daemon=True).start()

    def started(_url: str) -> None:
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    with closing(CompilingLater()) as later:
        with Progress() as progress:
            owner = become_owner(place, progress, serves=True)
        later.then(owner.engine.summarize)

        from streamgauge.app.api.serving import Serving

        serving.append(Serving(owner, on_started=started, by_workers=True))
        serving[0].run()


def _watch(life: int, serving: list[Serving]) -> None:
    """End with the supervisor."""
    select.select([life], [], [])  # workers have made the descriptor non-blocking
    if serving:
        serving[0].stop()
    else:
        os._exit(1)  # what is being opened is as safe from this as from a crash


if __name__ == "__main__":
    try:
        main()
    except StreamgaugeError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
