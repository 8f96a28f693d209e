"""Settings: one ``streamgauge.toml`` beside the project file, and the environment above it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamgauge.errors import SettingsError, close_match

SETTINGS_FILE = "streamgauge.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectSettings(_Section):
    """``[project]``: what is served."""

    file: str = Field(default="", description="The risk project's Python file, relative to streamgauge.toml.")
    data: str = Field(default=".streamgauge", description="Where log, state, ledger and models are kept.")


class ApiSettings(_Section):
    """``[api]``: where scores are served."""

    host: str = Field(default="127.0.0.1", description="The address that is listened on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port; 0 takes a free one.")
    keys: bool = Field(default=True, description="Whether callers need an API key. Off only on a trusted host.")
    max_body_bytes: int = Field(default=32 * 2**20, ge=1024, description="The largest request body that is read.")
    max_events: int = Field(default=10_000, ge=1, description="The most events one call may bring.")
    wait: float = Field(
        default=2.0, gt=0, le=60, description="Seconds that a read waits for its `min_position` before it answers 503."
    )


class ServerSettings(_Section):
    """``[server]``: the processes of ``streamgauge run``."""

    workers: int = Field(
        default=1,
        ge=1,
        le=256,
        description="API processes. 1 answers in the process that owns the data; more are processes of their own.",
    )


class EngineSettings(_Section):
    """``[engine]``: how events become scores."""

    batch: int = Field(default=4_096, ge=1, description="The most events that one durable commit takes.")
    cached_bytes: int = Field(default=2**30, ge=1, description="About how many bytes of memory decoded states take.")
    checkpoint_records: int = Field(
        default=200_000,
        ge=0,
        description="How many records the stored states may lack: what a crash leaves to be read.",
    )
    checkpoint_seconds: float = Field(default=5.0, ge=0, description="How long a changed state may wait to be stored.")
    outbox: int = Field(default=100_000, ge=1, description="How many published scores can be resumed from.")
    workers: int = Field(default=2, ge=1, description="Threads of a rebuild or a backfill.")


class LogSettings(_Section):
    """``[log]``: when old events move into the archive."""

    tail: int = Field(default=250_000, ge=0, description="How many of the newest records stay in log.db.")
    seal: int = Field(default=250_000, ge=1, description="How many records move into the archive at a time.")


class VerificationSettings(_Section):
    """``[verification]``: how much is recomputed while serving."""

    share: float = Field(default=0.01, ge=0, le=1, description="Of decisions and of published scores; 0 for none.")
    least_per_minute: float = Field(
        default=1.0, ge=0, le=60, description="Of each, where there are any; and so many older decisions."
    )
    cpu: float = Field(default=0.05, gt=0, le=1, description="The most of one core that it takes.")


class Settings(BaseSettings):
    """Everything that can be set.

    Each setting is looked for in the environment (``STREAMGAUGE_API__PORT``), then in ``streamgauge.toml``, then in its
    default.
    """

    model_config = SettingsConfigDict(
        env_prefix="STREAMGAUGE_", env_nested_delimiter="__", extra="forbid", frozen=True, toml_file=None
    )

    project: ProjectSettings = ProjectSettings()
    api: ApiSettings = ApiSettings()
    server: ServerSettings = ServerSettings()
    engine: EngineSettings = EngineSettings()
    log: LogSettings = LogSettings()
    verification: VerificationSettings = VerificationSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings' hook
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' hook
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic-settings' hook
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment above the file, whose content comes as arguments."""
        return env_settings, init_settings


class Place:
    """A project directory: its settings and the paths of everything in it.

    Attributes:
        root: The directory that holds ``streamgauge.toml``.
        settings: The settings in force.
    """

    def __init__(self, root: Path, settings: Settings) -> None:
        """Keep the directory and the settings; nothing is created."""
        self.root = root
        self.settings = settings

    @property
    def project_file(self) -> Path:
        """The risk project's Python file.

        Raises:
            SettingsError: None is named, or it does not exist.
        """
        name = self.settings.project.file
        if not name:
            found = sorted(path.name for path in self.root.glob("*.py"))
            hint = f'Write file = "{found[0]}" there.' if found else "Make one with: streamgauge init DIR."
            message = (
                "No project file is named. Looked in STREAMGAUGE_PROJECT__FILE and in [project] file of "
                f"{self.root / SETTINGS_FILE}. {hint}"
            )
            raise SettingsError(message)
        path = self.root / name
        if not path.is_file():
            near = close_match(name, (other.name for other in self.root.glob("*.py")))
            message = f'The project file "{name}" ([project] file of {SETTINGS_FILE}) is not in {self.root}. {near}'
            raise SettingsError(message)
        return path

    @property
    def data(self) -> Path:
        """Where everything that is written lies."""
        return self.root / self.settings.project.data

    @property
    def log(self) -> Path:
        """The event log."""
        return self.data / "log.db"

    @property
    def log_end(self) -> Path:
        """How far the event log came, outside its file."""
        return self.log.with_suffix(".end")

    @property
    def archive(self) -> Path:
        """The sealed part of the event log."""
        return self.data / "archive"

    @property
    def state(self) -> Path:
        """The state store."""
        return self.data / "state"

    @property
    def ledger(self) -> Path:
        """The decision ledger."""
        return self.data / "ledger.db"

    @property
    def heads(self) -> Path:
        """The ledger's heads, outside its store."""
        return self.data / "ledger.heads"

    @property
    def models(self) -> Path:
        """Model artefacts and registered policies."""
        return self.data / "models"

    @property
    def protected(self) -> Path:
        """Protected attributes, apart from everything else."""
        return self.data / "protected.db"

    @property
    def keys(self) -> Path:
        """The hashed API keys."""
        return self.data / "keys.json"

    @property
    def lock(self) -> Path:
        """The owner's lock."""
        return self.data / "owner.lock"

    @property
    def socket(self) -> Path:
        """The owner's Unix socket."""
        return self.data / "owner.sock"

    @property
    def worker_socket(self) -> Path:
        """The owner's Unix socket for API workers, in a folder that only this user may enter."""
        return self.data / "workers" / "owner.sock"

    @property
    def served(self) -> Path:
        """What the owner serves now; see `streamgauge.app.served`."""
        return self.data / "served.json"

    @property
    def import_mark(self) -> Path:
        """There while states may lack imported history."""
        return self.data / "import.pending"

    @property
    def erasure_mark(self) -> Path:
        """There while an erasure is under way."""
        return self.data / "erasure.pending"


def find_place(start: Path) -> Place:
    """Find ``streamgauge.toml`` in a directory or above it, and read it.

    Raises:
        SettingsError: There is none, it is no TOML, or a setting is unknown or wrong.
    """
    start = start.resolve()
    directory = start if start.is_dir() else start.parent
    looked = [directory, *directory.parents]
    for candidate in looked:
        if (candidate / SETTINGS_FILE).is_file():
            return Place(candidate, read_settings(candidate / SETTINGS_FILE))
    message = (
        f"There is no {SETTINGS_FILE} in {directory} or above it "
        f"(looked in {', '.join(str(path) for path in looked[:4])}). Make a project with: streamgauge init DIR."
    )
    raise SettingsError(message)


def read_settings(path: Path) -> Settings:
    """Read one settings file, with the environment above it.

    Raises:
        SettingsError: It is no TOML, or a setting is unknown or wrong.
    """
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is no valid TOML: {error}."
        raise SettingsError(message) from error
    try:
        return Settings(**content)
    except ValidationError as error:
        raise SettingsError(_explain(path, error)) from error


def _explain(path: Path, error: ValidationError) -> str:
    sections: dict[str, type[BaseModel]] = {
        "project": ProjectSettings,
        "api": ApiSettings,
        "server": ServerSettings,
        "engine": EngineSettings,
        "log": LogSettings,
        "verification": VerificationSettings,
    }
    lines = []
    for item in error.errors()[:5]:
        place = [str(part) for part in item["loc"]]
        name = ".".join(place)
        if item["type"] == "extra_forbidden":
            known = sections[place[0]].model_fields if len(place) > 1 and place[0] in sections else sections
            lines.append(f'Unknown setting "{name}". {close_match(place[-1], known)}')
        else:
            lines.append(f'Setting "{name}" is {item["input"]!r}: {item["msg"]}.')
    more = len(error.errors()) - len(lines)
    rest = f" ({more} more)" if more > 0 else ""
    return f"{path} or the environment (STREAMGAUGE_…): " + " ".join(lines) + rest
