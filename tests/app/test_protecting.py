"""Protected attributes from a file to the fairness report, by command and in Python."""

from __future__ import annotations

import stat
from pathlib import Path

import polars as pl
import pytest

import streamgauge as sg
from streamgauge.app.protecting import erase_protected
from streamgauge.app.settings import Place
from streamgauge.errors import ImportRefused, UnknownName
from tests.app.cli.conftest import answer, command, refusal
from tests.app.conftest import Lender

PERSON = '''

class Person(sg.Protected, entity=Movement.account):
    """Kept apart."""

    sex: sg.Category = sg.field(levels=["f", "m"])
    born: sg.Integer
'''
ENTITIES = [f"acc-{number:05d}" for number in range(1_000)]


@pytest.fixture(scope="module")
def place(lender: Lender, tmp_path_factory: pytest.TempPathFactory) -> Place:
    found = lender.copy(tmp_path_factory.mktemp("protected") / "lender")
    with found.project_file.open("a", encoding="utf-8") as file:
        file.write(PERSON)
    return found


@pytest.fixture(scope="module")
def people(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("people") / "people.csv"
    rows = {
        "account": ENTITIES,
        "sex": ["f" if number % 2 else "m" for number in range(1_000)],
        "born": [1950 + number % 50 for number in range(1_000)],
    }
    pl.DataFrame(rows).write_csv(path)
    imported = answer("protected", "import", path, "--class", "Person", "-C", place.root)
    assert imported == {"name": "Person", "imported": 1_000, "entities": 1_000}
    return path


def test_what_is_imported_lies_in_a_file_of_its_own_for_its_owner_alone(place: Place, people: Path) -> None:
    assert people.exists()
    assert stat.S_IMODE(place.protected.stat().st_mode) == 0o600
    said = command("protected", "import", people, "-C", place.root).stdout
    assert said == "1,000 entities of Person imported; 1,000 are kept in protected.db.\n"


def test_the_report_shows_every_attribute_at_the_policys_cutoff(place: Place, people: Path) -> None:
    assert people.exists()
    report = answer("fairness", "--model", "application-risk", "-C", place.root)
    assert [one["attribute"] for one in report["attributes"]] == ["Person.sex", "Person.born"]
    sex, born = report["attributes"]
    assert sex["known"] == report["entities"]
    assert [one["group"] for one in sex["groups"]] == ["f", "m"]
    assert len(born["groups"]) == 4
    assert 0.4 < sex["auc"]["value"] < 0.6
    other = next(one for one in sex["groups"] if one["group"] != sex["reference"])
    assert other["impact_ratio"]["low"] < other["impact_ratio"]["value"] < other["impact_ratio"]["high"]
    outcomes = answer("policy", "evaluate", "--model", "application-risk", "-C", place.root)
    approved = sum(one["approved"] * one["rows"] for one in sex["groups"])
    assert approved == pytest.approx(outcomes["report"]["outcomes"]["approve"]["applications"])
    assert outcomes["fairness"] == report
    table = command("fairness", "--model", "application-risk", "-C", place.root).stdout
    assert "Person.sex" in table
    assert "impact ratio" in table


def test_python_gives_the_same_report(place: Place, people: Path) -> None:
    asked = answer("fairness", "--model", "application-risk", "-C", place.root)
    with sg.open(place.root) as project:
        assert project.import_protected(pl.read_csv(people)).entities == 1_000
        report = project.fairness("application-risk")
        assert report.model_sha256 == asked["model_sha256"]
        assert report.attributes[0].auc is not None
        assert report.attributes[0].auc.value == asked["attributes"][0]["auc"]["value"]
        with pytest.raises(ImportRefused, match='no column "sex"'):
            project.import_protected(pl.DataFrame({"account": ["x"]}))


def test_an_erased_entity_is_no_longer_known(place: Place, people: Path) -> None:
    before = answer("fairness", "--model", "account-risk", "-C", place.root)["attributes"][0]
    with sg.open(place.root) as project:
        someone = project.portfolio("account-risk")["entity"][0]
    assert erase_protected(place, f"account:{someone}") == 1
    assert erase_protected(place, f"account:{someone}") == 0
    after = answer("fairness", "--model", "account-risk", "-C", place.root)["attributes"][0]
    assert after["known"] == before["known"] - 1
    assert after["unknown"] == before["unknown"] + 1
    answer("protected", "import", people, "-C", place.root)


def test_what_is_not_there_is_refused_with_the_next_step(lender: Lender, place: Place, tmp_path: Path) -> None:
    fresh = lender.copy(tmp_path / "lender")
    words = ("fairness", "--model", "application-risk", "-C", fresh.root)
    assert "declares no protected attributes of account" in refusal(*words)
    assert erase_protected(fresh, "account:x") == 0
    assert not fresh.protected.exists()
    with fresh.project_file.open("a", encoding="utf-8") as file:
        file.write(PERSON)
    assert "streamgauge protected import FILE --class Person" in refusal(*words)
    assert answer("policy", "evaluate", "--model", "application-risk", "-C", fresh.root)["fairness"] is None
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("account,sex,born\nacc-00001,x,1980\n")
    assert 'row 1: sex is "x"' in refusal("protected", "import", wrong, "-C", place.root)
    assert 'Did you mean "Person"?' in refusal("protected", "import", wrong, "--class", "Persn", "-C", place.root)
    assert "cannot be read" in refusal("protected", "import", _broken(tmp_path), "-C", place.root)
    with sg.open(fresh.root) as project, pytest.raises(UnknownName):
        project.fairness("account-rsik")


def _broken(folder: Path) -> Path:
    path = folder / "broken.jsonl"
    path.write_text('{"account": \n')
    return path
