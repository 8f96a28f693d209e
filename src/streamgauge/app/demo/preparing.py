"""What comes before the stream: a project, its history, its models, its server. What can overlap, does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from streamgauge.app.demo.server import Program
from streamgauge.app.project_templates import create_project
from streamgauge.app.settings import SETTINGS_FILE, find_place
from streamgauge.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from streamgauge.app.demo.driver import DemoSettings
    from streamgauge.app.demo.screen import Phases
    from streamgauge.app.settings import Place
    from streamgauge.testing.live import LiveStream
    from streamgauge.testing.portfolio import Portfolio

_TEMPLATE: Final = "credit"
# Small streams first: what an import touches is rebuilt, and the movements touch everything.
_STREAMS: Final = ("Application", "Loan", "Instalment", "Arrears", "Movement")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A served project with its history.

    Attributes:
        place: The project directory.
        url: Its API.
        key: A key for it.
        live: Draws live events.
        auc: By model.
        imported: How many events of history.
    """

    place: Place
    url: str
    key: str
    live: LiveStream
    auc: dict[str, float]
    imported: int


class Preparation:
    """Makes everything ready; its processes run until `stop`."""

    def __init__(self, settings: DemoSettings, directory: Path, phases: Phases) -> None:
        """Keep what is needed."""
        self._settings = settings
        self._directory = directory
        self._phases = phases
        self._programs: list[Program] = []

    def run(self) -> Prepared:
        """Simulate while the server and the trainer start, import, then train both models.

        Raises:
            SettingsError: The directory holds events already.
            StreamgaugeError: A step failed.
        """
        phases = self._phases
        if not (self._directory / SETTINGS_FILE).exists():
            create_project(self._directory, _TEMPLATE)
        place = find_place(self._directory)
        if place.log.exists():
            raise SettingsError(
                f"{self._directory} holds events already. Give the demo a directory of its own with --dir."
            )
        place.data.mkdir(parents=True, exist_ok=True)
        phases.begin("start the server")
        server = self._program("run", "-C", str(self._directory), "--port", "0", "--json")
        trainer = self._program("train", "-C", str(self._directory), "--when-told")
        with phases.phase("simulate a lender"):
            portfolio, files = self._simulate(place)
        started = server.line()
        phases.end("start the server")
        with phases.phase("import two years of history"):
            imported = self._import(place, files)
        trainer.tell("train")
        aucs = self._train(trainer)
        live = self._live(portfolio)
        return Prepared(
            place=place,
            url=str(started["url"]),
            key=str(started["key"]),
            live=live,
            auc=aucs,
            imported=imported,
        )

    def stop(self) -> None:
        """End every process."""
        for program in self._programs:
            program.stop()

    def _program(self, *arguments: str) -> Program:
        program = Program(self._directory / f"{arguments[0]}.log", *arguments)
        self._programs.append(program)
        return program

    def _simulate(self, place: Place) -> tuple[Portfolio, dict[str, Path]]:
        from streamgauge.testing.portfolio import simulate

        settings = self._settings
        portfolio = simulate(settings.borrowers, settings.days, datetime.now(UTC), settings.seed)
        files = {}
        for stream in _STREAMS:
            files[stream] = place.data / f"{stream}.parquet"
            portfolio.frames[stream].write_parquet(files[stream], compression="lz4")
        return portfolio, files

    def _import(self, place: Place, files: dict[str, Path]) -> int:
        from streamgauge.app.remote import RemoteService

        service = RemoteService(place)
        imported = 0
        for stream, path in files.items():

            def tell(what: str, done: int, total: int, stream: str = stream) -> None:
                self._phases.tell(f"{stream}: {what}", done, total)

            imported += service.import_file(path, stream, tell, known_at="known_at").accepted
            path.unlink()
        return imported

    def _train(self, trainer: Program) -> dict[str, float]:
        """Follow the trainer's steps, and return the AUC of each model on rows it was not fitted on."""
        with self._phases.phase("train both models"):
            while "answer" not in (line := trainer.line()):
                self._phases.tell(*line["progress"])
        reports = [one["report"] for one in line["answer"]["trained"]]
        return {report["model"]: report["metrics"]["auc"] for report in reports}

    def _live(self, portfolio: Portfolio) -> LiveStream:
        from streamgauge.testing.live import LiveStream

        return LiveStream(portfolio, datetime.now(UTC), self._settings.seed)
