"""Loading a project file: executed, gathered, checked."""

from __future__ import annotations

import linecache
import sys
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from streamgauge.definitions.checks import check_codes
from streamgauge.definitions.collect import Collection, current
from streamgauge.definitions.label import Label
from streamgauge.definitions.place import Place, refuse
from streamgauge.definitions.specs import LabelSpec, ModelSpec, ProjectSpec
from streamgauge.errors import DefinitionError, close_match

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from streamgauge.definitions.model import Model

_UNEXPECTED: Final = "got an unexpected keyword argument '"


def load_project(path: str | os.PathLike[str]) -> ProjectSpec:
    """Load a project file.

    Raises:
        DefinitionError: The file cannot be read, or has a mistake, named with its line.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise DefinitionError(f"The project file {file} cannot be read: {error.strerror}.", path=str(file)) from error
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"The project file {file} is no UTF-8 text: byte {error.start}.", path=str(file)
        ) from error
    return load_source(text, file.stem, path=str(file))


def load_source(text: str, name: str = "project", *, path: str = "") -> ProjectSpec:
    """Load a project from its text.

    Args:
        text: The text of the file.
        name: The project's name, the file's stem.
        path: How messages name the file.

    Raises:
        DefinitionError: The text has a mistake, named with its line.

    >>> load_source('''import streamgauge as sg
    ... class Visit(sg.Event):
    ...     id: sg.EventId
    ...     shop: sg.Entity
    ...     at: sg.EventTime
    ... ''').streams["Visit"].entity
    'shop'
    """
    file = path or f"<{name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        with _gathering() as found:
            namespace = _execute(text, file)
        return _project(found, namespace, name, text, file)
    finally:
        linecache.cache.pop(file, None)


@contextmanager
def _gathering() -> Iterator[Collection]:
    found = Collection()
    token = current.set(found)
    try:
        yield found
    finally:
        current.reset(token)


def _execute(text: str, file: str) -> dict[str, Any]:
    module = ModuleType("streamgauge_project")
    module.__file__ = file
    try:
        code = compile(text, file, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise DefinitionError(f"Syntax error: {error.msg}.", path=file, line=error.lineno or 0) from error
    except ValueError as error:
        raise DefinitionError(f"The file is no Python: {error}.", path=file) from error
    sys.modules[module.__name__] = module
    try:
        exec(code, module.__dict__)  # noqa: S102 - a project file is the user's own program
    except DefinitionError:
        raise
    except (Exception, SystemExit) as error:
        raise DefinitionError(_explained(error, module), path=file, line=_line(error, file)) from error
    finally:
        sys.modules.pop(module.__name__, None)
    return module.__dict__


def _project(found: Collection, namespace: dict[str, Any], name: str, text: str, file: str) -> ProjectSpec:
    if not found.events:
        raise DefinitionError("The project has no event. Declare one: class Movement(sg.Event): …", path=file, line=1)
    labels = _labels(namespace)
    features = {spec.name: spec for owner in found.features.values() for spec in owner.__definition__.features}
    check_codes(features.values(), Place(file, 1))
    models = {model: _labelled(value, labels) for model, value in found.models.items()}
    return ProjectSpec(
        name=name,
        streams={stream: event.__stream__ for stream, event in found.events.items()},
        features=features,
        labels={spec.name: spec for spec in labels.values()},
        models=models,
        policies={model: policy.spec for model, policy in found.policies.items()},
        source=text,
        protected=dict(found.protected),
    )


def _labels(namespace: dict[str, Any]) -> dict[int, LabelSpec]:
    named: dict[int, LabelSpec] = {}
    for variable, value in namespace.items():
        if isinstance(value, Label) and id(value) not in named:
            named[id(value)] = replace(value.spec, name=variable)
    return named


def _labelled(model: Model, labels: dict[int, LabelSpec]) -> ModelSpec:
    spec = labels.get(id(model.label))
    if spec is None:
        raise refuse(
            f"The label of model {model.spec.name} has no name. Assign it to a variable of the file: "
            "default_90d = sg.Label(…).",
            model.place,
            argument="label",
        )
    return model.labelled(spec)


def _line(error: BaseException, file: str) -> int:
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _explained(error: BaseException, module: ModuleType) -> str:
    message = f"{type(error).__name__}: {error}".rstrip(".") + "."
    if isinstance(error, NameError) and error.name:
        return f"{message} {close_match(error.name, [name for name in vars(module) if not name.startswith('_')])}"
    if isinstance(error, AttributeError) and error.name and error.obj is not None:
        return f"{_attribute(error)} {close_match(error.name, _public(error.obj))}"
    if isinstance(error, TypeError) and _UNEXPECTED in str(error):
        called, _, unexpected = str(error).rstrip("'").partition(f"() {_UNEXPECTED}")
        return f"{message} {close_match(unexpected, _parameters(called, module))}"
    if isinstance(error, TypeError) and ("for &" in str(error) or "for |" in str(error)):
        return f"{message} Put each comparison beside & and | in parentheses."
    return message


def _attribute(error: AttributeError) -> str:
    owner = getattr(error.obj, "__name__", type(error.obj).__name__)
    return f'{owner} has no "{error.name}".'


def _public(owner: object) -> list[str]:
    names = dir(owner) + (dir(type(owner)) if isinstance(owner, type) and hasattr(owner, "__stream__") else [])
    return [name for name in names if not name.startswith("_") and name != "mro"]


def _parameters(called: str, module: ModuleType) -> list[str]:
    """Return the keyword arguments of what an error message says was called."""
    owner, _, method = called.partition(".")
    if owner == "EventMeta":
        return ["feed", "lateness", "tolerance", "zone"]
    if method == "__init_subclass__":
        return ["entity", "reach"]
    ours = [vars(other) for name, other in sys.modules.items() if name.startswith("streamgauge.definitions.")]
    found = [names[owner] for names in (vars(module), *ours) if owner in names]
    target: Any = next((item for item in found if item.__module__.startswith("streamgauge")), None)
    if method and method != "__init__":
        target = getattr(target, method, None)
    return [name for name in signature(target).parameters if name != "self"] if callable(target) else []
