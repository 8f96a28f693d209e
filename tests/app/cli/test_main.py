"""What holds for every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from streamgauge.app.cli.main import app
from tests.app.cli.conftest import answer, command, refusal

PRINTS_A_RESULT = {
    "init", "check", "import", "ingest", "dataset", "train", "models", "run", "score", "features", "decide", "verify",
    "portfolio", "demo", "doctor", "schema", "erase", "erasures", "fairness", "protected import",
    "policy evaluate", "policy list", "quarantine list", "quarantine show", "quarantine retry",
    "export", "sql", "keys create", "keys list", "keys revoke",
}  # fmt: skip


def names() -> list[str]:
    """Every command, groups' ones with their group."""
    found = []
    root = get_command(app)
    assert isinstance(root, TyperGroup)
    for name, one in root.commands.items():
        found += [f"{name} {inner}" for inner in one.commands] if isinstance(one, TyperGroup) else [name]
    return found


def test_every_command_is_there() -> None:
    assert set(names()) == PRINTS_A_RESULT


@pytest.mark.parametrize("name", names())
def test_every_command_has_help_with_one_example_and_json(name: str) -> None:
    result = command(*name.split(), "--help")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert text.count(f"Example: streamgauge {name}") == 1
    assert "--json" in text
    if name not in {"init", "demo"}:
        assert "-C, --project" in text or "--project, -C" in text


@pytest.mark.parametrize("name", names())
def test_an_unknown_option_is_a_usage_error(name: str) -> None:
    assert "--ammount" in refusal(*name.split(), "--ammount", code=2)


def test_without_a_command_the_commands_are_listed() -> None:
    result = command()
    assert "Usage: " in result.output
    assert "portfolio" in result.output


def test_the_version_is_printed() -> None:
    assert command("--version").stdout.startswith("streamgauge 0.")


def test_a_directory_without_settings_says_where_was_looked_and_what_to_do(tmp_path: Path) -> None:
    message = refusal("models", "-C", tmp_path)
    assert str(tmp_path) in message
    assert "streamgauge init DIR" in message


def test_a_wrong_project_file_is_named_with_its_line(tmp_path: Path) -> None:
    assert command("init", tmp_path / "new").exit_code == 0
    file = tmp_path / "new" / "credit.py"
    file.write_text(file.read_text().replace("Movement.amount > 0", "Movement.ammount > 0"))
    message = refusal("check", "-C", tmp_path / "new")
    assert "credit.py:" in message
    assert 'Did you mean "amount"?' in message


def test_a_wrong_setting_is_named_with_its_close_match(tmp_path: Path) -> None:
    command("init", tmp_path / "new")
    (tmp_path / "new" / "streamgauge.toml").write_text('[project]\nfile = "credit.py"\n[api]\nprot = 1\n')
    assert 'Did you mean "port"?' in refusal("check", "-C", tmp_path / "new")


def test_a_path_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    message = refusal("init", tmp_path / "taken" / "new")
    assert "taken" in message


def test_the_console_script_and_the_module_are_the_same(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "streamgauge.app.cli", "check", "-C", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith("Error: There is no streamgauge.toml")


def test_init_makes_a_project_that_check_finds_sound(tmp_path: Path) -> None:
    created = answer("init", tmp_path / "new")
    assert created["files"] == ["credit.py", "streamgauge.toml"]
    checked = answer("check", "-C", tmp_path / "new")
    assert [model["model"] for model in checked["models"]] == ["account-risk", "application-risk"]
    by_name = {feature["name"]: feature for feature in checked["features"]}
    inflow = by_name["CashFlow.inflow_sum_30d"]
    assert (inflow["stream"], inflow["window"], inflow["unit"], inflow["code"]) == ("Movement", "30d", "money", "R01")
    assert by_name["CashFlow.burn"]["unit"] == "ratio"
    assert by_name["Application.amount"]["models"] == ["application-risk"]
    table = command("check", "-C", tmp_path / "new").stdout
    assert "credit.py is sound: 5 streams" in table
    assert "CashFlow.inflow_sum_30d" in table


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    command("init", tmp_path)
    (tmp_path / "credit.py").write_text("mine")
    assert "credit.py, streamgauge.toml already" in refusal("init", tmp_path)
    assert (tmp_path / "credit.py").read_text() == "mine"


def test_init_suggests_the_close_template(tmp_path: Path) -> None:
    assert 'Did you mean "credit"?' in refusal("init", tmp_path / "new", "--template", "credti")
    assert not (tmp_path / "new").exists()
