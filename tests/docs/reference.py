"""The pages of `docs/reference` that are made from the code: ``python -m tests.docs.reference`` writes them anew."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from streamgauge.app.api.application import PUBLIC
from streamgauge.app.api.openapi import document
from streamgauge.app.api.problems import KINDS
from streamgauge.app.cli.main import app
from streamgauge.app.settings import Settings

PAGES = Path(__file__).parents[2] / "docs" / "reference"
MADE = "<!-- Made from the code by tests/docs/reference.py; `make reference` writes it anew. -->\n"

SETTINGS = """\
Each setting is looked for in the environment, then in `streamgauge.toml`, then in its default. The environment's name
of `[api] port` is `STREAMGAUGE_API__PORT`. A command finds `streamgauge.toml` in the current directory or above it, or
where `-C DIR` says. An unknown setting is refused, with the close match.
"""

HTTP = """\
A running server answers all this as an OpenAPI 3.1 document under `/openapi.json`.

## Keys

A key goes into each request, as `Authorization: Bearer sg_…` or as `X-API-Key: sg_…`, and opens its scopes: `ingest`,
`read`, `decide`, `fairness`, or `admin`, which opens everything. [API keys](../how-to/api-keys.md) says how to make
them.
"""

PROBLEMS = """\
Every error is a problem (RFC 9457), `application/problem+json`, of the form [ProblemDetails](#problemdetails). Its
`type` is `urn:streamgauge:problem:CODE`; `error` names the class of [errors](errors.md) where it is one of those.
"""

CLI = """\
Every command works on the project in the current directory, or in the one that `-C DIR` names. A command that writes
goes through the running owner's socket, or else becomes the owner for as long as it takes; it returns after applying.

Results go to standard output, with `--json` as JSON alone; progress and errors go to standard error. Exit codes: 0,
1 for a refusal, 2 for a command written wrongly, 130 after Ctrl-C.
"""


def settings_page() -> str:
    """Every setting, with its default and meaning."""
    parts = [
        "# Settings\n",
        MADE,
        SETTINGS,
    ]
    example = ['```toml title="streamgauge.toml"']
    for section, held in Settings.model_fields.items():
        kind = held.annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        parts.append(f"## [{section}]\n")
        parts.append(_sentence((kind.__doc__ or "").partition(": ")[2]) + "\n")
        rows = []
        example.append(f"[{section}]")
        for name, field in kind.model_fields.items():
            default = "credit.py" if name == "file" else field.default
            example.append(f"{name} = {json.dumps(default)}")
            shown = "none" if field.default == "" else f"`{json.dumps(field.default)}`"
            rows.append((f"`{name}`", shown, f"`STREAMGAUGE_{section}__{name}`".upper(), field.description or ""))
        parts.append(_table(("setting", "unless said", "environment", "meaning"), rows))
    parts += ["## All of them\n", "\n".join([*example, "```\n"])]
    return "\n".join(parts)


def http_page() -> str:
    """Every endpoint, from the OpenAPI document that a server answers under ``/openapi.json``."""
    api = document(PUBLIC)
    parts = [
        "# HTTP API\n",
        MADE,
        api["info"]["description"] + "\n",
        HTTP,
    ]
    operations = [
        (method.upper(), path, operation)
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    ]
    rows = [
        (f"[`{method} {path}`](#{_anchor(operation['summary'])})", operation["summary"])
        for method, path, operation in operations
    ]
    parts.append(_table(("endpoint", "what"), rows))
    for tag in api["tags"]:
        parts.append(f"## {tag['name']}\n")
        parts.append(tag["description"] + "\n")
        for method, path, operation in operations:
            if operation["tags"] == [tag["name"]]:
                parts += _operation(method, path, operation)
    parts += ["## Problems\n", PROBLEMS]
    kinds = [(f"`{kind.code}`", str(kind.status), kind.title, _retry(kind.retry_after)) for kind in KINDS.values()]
    parts.append(_table(("code", "status", "title", "again"), kinds))
    parts.append("## Schemas\n")
    for name, schema in api["components"]["schemas"].items():
        parts += _schema(name, schema)
    return "\n".join(parts)


def cli_page() -> str:
    """Every command, as ``--help`` has it."""
    parts = [
        "# Command line\n",
        MADE,
        CLI,
    ]
    root = typer.main.get_command(app)
    commands = list(_commands("streamgauge", root, _context(root, None, "streamgauge")))
    parts.append(
        _table(
            ("command", "what"),
            [
                (f"[`{name}`](#{_anchor(name)})", _sentence((command.help or "").splitlines()[0]))
                for name, command in commands
            ],
        )
    )
    for name, command in commands:
        parts += _command(name, command)
    return "\n".join(parts)


GENERATED: dict[str, Callable[[], str]] = {"cli.md": cli_page, "http.md": http_page, "settings.md": settings_page}


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {operation['summary']}\n"
    yield f"`{method} {path}`\n"
    yield operation["description"] + "\n"
    parameters = operation.get("parameters", [])
    if parameters:
        rows = [(f"`{one['name']}`", one["in"], _kind(one["schema"]), one["description"]) for one in parameters]
        yield _table(("parameter", "in", "type", "meaning"), rows)
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        for example in body.get("examples", {}).values():
            yield f"{example['summary']} (`{media_type}`):\n"
            yield _block(example["value"])
    for media_type, answer in operation["responses"]["200"]["content"].items():
        examples = list(answer.get("examples", {}).values())
        yield f"Answers {_kind(answer['schema'])} (`{media_type}`){':' if examples else '.'}\n"
        if examples:
            yield _block(examples[0]["value"])
    codes = re.findall(r"`([a-z-]+)`:", " ".join(one["description"] for one in operation["responses"].values()))
    yield "Problems: " + ", ".join(f"`{code}`" for code in codes) + ".\n"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {name}\n"
    if schema.get("description"):
        yield schema["description"] + "\n"
    required = schema.get("required", [])
    rows = [
        (f"`{field}`" + ("" if field in required else " (optional)"), _kind(held), held.get("description", ""))
        for field, held in schema.get("properties", {}).items()
    ]
    if rows:
        yield _table(("member", "type", "meaning"), rows)


def _kind(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_anchor(name)})"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(_kind(one) for one in schema[word])
    if "enum" in schema:
        return " ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")


def _commands(name: str, command: Any, context: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "list_commands"):
        yield name, command
        return
    for word in command.list_commands(context):
        held = command.get_command(context, word)
        if held is not None and not held.hidden:
            yield from _commands(f"{name} {word}", held, _context(held, context, word))


def _command(name: str, command: Any) -> Iterator[str]:
    yield f"## {name}\n"
    yield (command.help or "").strip() + "\n"
    needed = [_metavar(one) for one in command.params if one.param_type_name == "argument"]
    yield f"```text\n{' '.join([name, *needed])} [OPTIONS]\n```\n"
    if command.epilog:
        yield f"```text\n$ {command.epilog.removeprefix('Example: ')}\n```\n"
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False):
            continue
        is_option = parameter.param_type_name == "option"
        names = ", ".join(f"`{one}`" for one in reversed(parameter.opts)) if is_option else f"`{_metavar(parameter)}`"
        value = "" if not is_option or parameter.is_flag else f" `{_metavar(parameter)}`"
        default = parameter.default
        shown = f"`{default}`" if isinstance(default, str | int) and not isinstance(default, bool) else ""
        rows.append((names + value, "required" if parameter.required else shown, getattr(parameter, "help", "") or ""))
    yield _table(("argument or option", "unless said", "meaning"), rows)


def _context(command: Any, parent: Any, name: str) -> Any:
    return command.context_class(command, parent=parent, info_name=name)


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _retry(seconds: int | None) -> str:
    return "" if seconds is None else f"after {seconds} s"


def _block(value: object) -> str:
    if isinstance(value, str):
        return f"```text\n{value.rstrip()}\n```\n"
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```\n"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(re.sub(r"\s+", " ", cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _anchor(text: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", text.lower()).strip().replace(" ", "-")


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def main() -> None:
    """Write every page."""
    for name, page in GENERATED.items():
        (PAGES / name).write_text(page())


if __name__ == "__main__":
    main()
