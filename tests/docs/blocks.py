"""The fenced blocks of a document, and what each must do when a reader follows it.

- ``python`` runs in the document's own namespace; with ``>>>`` its output is compared.
- ``console`` runs each ``$`` command (continued by ``>``) in the document's shell and compares what is shown under it;
  ``...`` stands for anything, and nothing shown means that nothing is compared. ``bash`` runs as one script.
- ``title="NAME"`` makes a block a file that the reader writes: it is written, not run.
- ``<!-- not-run: REASON -->`` above a block leaves it out, ``<!-- exits: CODE -->`` says how its last command ends.
- ``json``, ``toml`` and ``yaml`` must parse; ``text`` and the like are only shown.
"""

import ast
import contextlib
import doctest
import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml
from sybil import Document, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.docs.shell import Shell

FENCE = RawFencedCodeBlockLexer(re.compile(r"(?P<info>[^\n]*)\n"))
REMARK = re.compile(r"<!--\s*(?P<name>not-run|exits):\s*(?P<value>(?:(?!-->).)*?)\s*-->\s*\Z", re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
SHOWN = {"csv", "diff", "http", "makefile", "mermaid", "sql", "text"}
PARSED = {"json", "toml", "yaml"}
RUN = {"bash", "console", "python"}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Command(NamedTuple):
    """One command of a console block, and what is shown under it."""

    text: str
    shown: str


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    language: str
    source: str
    line: int
    title: str | None = None
    not_run: str | None = None
    exits: int = 0


def blocks_of(path: Path) -> list[Block]:
    """Read a document's fenced blocks, in order."""
    document = Document(path.read_text(), str(path))
    return [_block(document.text, region) for region in FENCE(document)]


def _block(text: str, region: Region) -> Block:
    info = region.lexemes["info"].strip()
    remarks: dict[str, str] = {}
    before = text[: region.start].rstrip(" ")
    while found := REMARK.search(before):
        remarks[found["name"]] = found["value"]
        before = before[: found.start()]
    title = TITLE.search(info)
    return Block(
        language=re.split(r"[\s{]", info, maxsplit=1)[0],
        source=str(region.lexemes["source"]),
        line=text.count("\n", 0, region.start) + 1,
        title=title[1] if title else None,
        not_run=remarks.get("not-run"),
        exits=int(remarks.get("exits", "0")),
    )


def commands_of(source: str) -> list[Command]:
    """Split a console block at its prompts."""
    commands: list[tuple[list[str], list[str]]] = []
    for line in source.splitlines():
        if line.startswith("$ "):
            commands.append(([line[2:]], []))
        elif not commands:
            message = f"a console block starts with a prompt, not with {line!r}"
            raise AssertionError(message)
        elif line.startswith("> ") and not commands[-1][1]:
            commands[-1][0].append(line[2:])
        else:
            commands[-1][1].append(line)
    return [Command("\n".join(typed), "\n".join(shown).strip("\n")) for typed, shown in commands]


def matches(shown: str, printed: str) -> bool:
    """Whether a command printed what is shown; ``...`` stands for anything, spaces count as one."""
    return doctest.OutputChecker().check_output(shown + "\n", printed + "\n", FLAGS)


@dataclass
class Reader:
    """Someone who follows a document from its first block to its last."""

    directory: Path
    shell: Shell
    namespace: dict[str, object] = field(default_factory=dict)

    def follow(self, block: Block, path: Path) -> None:
        """Do what one block says; raises AssertionError, or what the block's code raises."""
        if block.not_run is not None:
            return
        if block.title is not None:
            target = self.directory / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.source)
        _parse(block)
        if block.title is None and block.language in RUN:
            {"bash": self._bash, "console": self._console, "python": self._python}[block.language](block, path)

    def _bash(self, block: Block, _: Path) -> None:
        answer = self.shell.run(f"bash -eu -o pipefail <<'END_OF_BLOCK'\n{block.source}\nEND_OF_BLOCK")
        assert answer.code == block.exits, f"exit code {answer.code}:\n{answer.output}"

    def _console(self, block: Block, _: Path) -> None:
        commands = commands_of(block.source)
        for command in commands:
            answer = self.shell.run(command.text)
            expected = block.exits if command is commands[-1] else 0
            assert answer.code == expected, f"$ {command.text}\nexit code {answer.code}:\n{answer.output}"
            if command.shown:
                assert matches(command.shown, answer.output), (
                    f"$ {command.text}\nshown:\n{command.shown}\nprinted:\n{answer.output}"
                )

    def _python(self, block: Block, path: Path) -> None:
        with contextlib.chdir(self.directory):
            if block.source.startswith(">>>"):
                self._doctest(block, path)
            else:
                padded = "\n" * block.line + block.source
                exec(compile(padded, str(path), "exec", dont_inherit=True), self.namespace)  # noqa: S102 - documents are ours

    def _doctest(self, block: Block, path: Path) -> None:
        parsed = doctest.DocTestParser().get_doctest(block.source, self.namespace, path.name, str(path), block.line)
        parsed.globs = self.namespace
        report: list[str] = []
        failed = doctest.DocTestRunner(optionflags=FLAGS).run(parsed, out=report.append, clear_globs=False).failed
        assert not failed, "".join(report)


def _parse(block: Block) -> None:
    if block.language == "json":
        json.loads(block.source)
    elif block.language == "toml":
        tomllib.loads(block.source)
    elif block.language == "yaml":
        yaml.safe_load(block.source)
    elif block.language == "python" and not block.source.startswith(">>>"):
        ast.parse(block.source)
