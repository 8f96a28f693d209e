"""P7's checks."""

import sys
from pathlib import Path

import pytest

from benchmarks.p7_startup import HELP, SCORE, Differs, check, commands_of, peers_of


def test_help_lists_commands_and_a_peer_stands_beside_it(tmp_path: Path) -> None:
    ours = commands_of(tmp_path, "acc-00000")
    peers = {name: arguments for name, arguments in peers_of().items() if "mlflow" in name}
    assert check({HELP: ours[HELP], **peers})[0].startswith(f"{HELP}, `mlflow --help`")


def test_a_command_that_does_nothing_is_not_timed() -> None:
    with pytest.raises(Differs, match="listed no commands"):
        check({HELP: [sys.executable, "-c", ""]})
    with pytest.raises(Differs, match="printed no score"):
        check({SCORE: [sys.executable, "-c", "print('{\"pd\": 0}')"]})
    with pytest.raises(Differs, match="failed: gone"):
        check({HELP: [sys.executable, "-c", "import sys; sys.exit('gone')"]})
