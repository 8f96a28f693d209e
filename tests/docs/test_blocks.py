"""The reader of documents notices what a human reader would."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import Reader, blocks_of
from tests.docs.shell import Shell


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    directory, logs = tmp_path / "work", tmp_path / "logs"
    directory.mkdir()
    logs.mkdir()
    with Shell(directory, logs, timeout=10) as shell:
        yield Reader(directory, shell)


def follow(reader: Reader, text: str) -> None:
    path = reader.directory.parent / "document.md"
    path.write_text(text)
    for block in blocks_of(path):
        reader.follow(block, path)


def test_what_a_command_prints_is_compared(reader: Reader) -> None:
    follow(reader, "```console\n$ echo one; echo 2.75 s\none\n... s\n```\n")
    with pytest.raises(AssertionError, match="shown:\ntwo"):
        follow(reader, "```console\n$ echo one\ntwo\n```\n")


def test_a_command_that_fails_fails_the_document(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="exit code 3"):
        follow(reader, "```console\n$ (exit 3)\n```\n")
    with pytest.raises(AssertionError, match="exit code 1"):
        follow(reader, "```bash\nfalse\ntrue\n```\n")


def test_a_failure_that_the_document_announces_is_expected(reader: Reader) -> None:
    follow(reader, "<!-- exits: 3 -->\n```console\n$ true\n$ echo no; (exit 3)\nno\n```\n")
    with pytest.raises(AssertionError, match="exit code 0"):
        follow(reader, "<!-- exits: 3 -->\n```console\n$ true\n```\n")


def test_directory_variables_and_jobs_last_from_block_to_block(reader: Reader) -> None:
    follow(reader, "```console\n$ mkdir lender && cd lender && export NAME=north\n$ sleep 1000 &\n```\n")
    follow(reader, '```console\n$ echo "$NAME $(basename "$PWD") $(jobs -r | wc -l)"\nnorth lender 1\n```\n')


def test_a_command_may_be_continued(reader: Reader) -> None:
    follow(reader, "```console\n$ echo a \\\n>   b\na b\n```\n")


def test_a_block_with_a_title_is_a_file_that_later_blocks_use(reader: Reader) -> None:
    follow(reader, '```csv title="data/rows.csv"\nid,amount\n1,2\n```\n\n```console\n$ wc -l < data/rows.csv\n2\n```\n')


def test_python_blocks_share_their_names_and_the_directory(reader: Reader) -> None:
    follow(
        reader,
        "```python\nfrom pathlib import Path\nPath('x.txt').write_text('41')\n```\n"
        "```console\n$ cat x.txt\n41\n```\n"
        "```python\n>>> int(Path('x.txt').read_text()) + 1\n42\n```\n",
    )
    with pytest.raises(AssertionError, match="Expected"):
        follow(reader, "```python\n>>> 1 + 1\n3\n```\n")
    with pytest.raises(NameError):
        follow(reader, "```python\nmissing\n```\n")


def test_a_block_that_is_left_out_is_not_run(reader: Reader) -> None:
    block = "<!-- not-run: would fail -->\n```console\n$ false\n```\n"
    follow(reader, block + block)
    with pytest.raises(AssertionError, match="exit code 1"):
        follow(reader, block + "```console\n$ false\n```\n")


def test_settings_and_answers_that_do_not_parse_fail_the_document(reader: Reader) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        follow(reader, "```json\n{a}\n```\n")
    with pytest.raises(SyntaxError):
        follow(reader, '```python title="project.py"\nclass\n```\n')


def test_a_command_that_never_ends_is_given_up(tmp_path: Path) -> None:
    with Shell(tmp_path, tmp_path, timeout=0.2) as shell, pytest.raises(TimeoutError):
        shell.run("cat <(sleep 1000)")


def test_blocks_inside_lists_are_read(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="exit code 1"):
        follow(reader, "1. First:\n\n    ```console\n    $ false\n    ```\n")
