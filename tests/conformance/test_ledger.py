import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path

import pytest

import streamgauge.adapters
from streamgauge.adapters.sqlite.ledger import SqliteLedger
from streamgauge.decisions.ledger import Ledger
from streamgauge.testing.ledger_conformance import CHECKS

OPENERS: dict[type, Callable[[Path], Ledger]] = {
    SqliteLedger: lambda folder: SqliteLedger(folder / "ledger.sqlite", folder / "ledger.heads"),
}


def implementations() -> set[type]:
    """Find every class of an adapter that has the methods of a Ledger."""
    found = set()
    for module in pkgutil.walk_packages(streamgauge.adapters.__path__, "streamgauge.adapters."):
        if "ledger" not in module.name:
            continue
        loaded = importlib.import_module(module.name)
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            if kind.__module__ == module.name and issubclass(kind, Ledger):
                found.add(kind)
    return found


def test_every_ledger_is_checked() -> None:
    assert implementations() == set(OPENERS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", OPENERS, ids=lambda kind: kind.__name__)
def test_a_ledger_conforms(kind: type, check: Callable[[Callable[[], Ledger]], None], tmp_path: Path) -> None:
    check(lambda: OPENERS[kind](tmp_path))
