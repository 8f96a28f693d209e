"""Settings: one file, the environment above it, and errors that name the place."""

from pathlib import Path

import pytest

from streamgauge.app.settings import find_place
from streamgauge.errors import SettingsError


def write(directory: Path, text: str) -> None:
    (directory / "streamgauge.toml").write_text(text, encoding="utf-8")


def test_settings_are_found_above_the_directory(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nfile = "credit.py"\n[api]\nport = 9000\n')
    (tmp_path / "credit.py").write_text("", encoding="utf-8")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    place = find_place(inner)
    assert place.root == tmp_path
    assert place.settings.api.port == 9000
    assert place.project_file == tmp_path / "credit.py"
    assert place.socket == tmp_path / ".streamgauge" / "owner.sock"


def test_the_environment_is_above_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "[api]\nport = 9000\n")
    monkeypatch.setenv("STREAMGAUGE_API__PORT", "9100")
    assert find_place(tmp_path).settings.api.port == 9100


def test_an_unknown_setting_is_named_with_its_close_match(tmp_path: Path) -> None:
    write(tmp_path, "[api]\nprot = 1\n")
    with pytest.raises(SettingsError, match=r'Unknown setting "api.prot". Did you mean "port"\?'):
        find_place(tmp_path)


def test_a_wrong_value_is_named(tmp_path: Path) -> None:
    write(tmp_path, '[api]\nport = "many"\n')
    with pytest.raises(SettingsError, match=r"Setting \"api\.port\" is 'many'"):
        find_place(tmp_path)


def test_broken_toml_is_named_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "[api\n")
    with pytest.raises(SettingsError, match=r"no valid TOML.*line 1"):
        find_place(tmp_path)


def test_a_missing_file_lists_where_was_looked(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"looked in {tmp_path}.*streamgauge init"):
        find_place(tmp_path)


def test_a_missing_project_file_names_the_close_match(tmp_path: Path) -> None:
    write(tmp_path, '[project]\nfile = "credt.py"\n')
    (tmp_path / "credit.py").write_text("", encoding="utf-8")
    with pytest.raises(SettingsError, match=r'"credt.py".*Did you mean "credit.py"\?'):
        _ = find_place(tmp_path).project_file


def test_no_project_file_lists_where_was_looked(tmp_path: Path) -> None:
    write(tmp_path, "")
    with pytest.raises(SettingsError, match=r"STREAMGAUGE_PROJECT__FILE.*streamgauge init"):
        _ = find_place(tmp_path).project_file
