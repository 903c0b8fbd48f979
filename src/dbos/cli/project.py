"""The file `dbos-config.yaml` of a project: its name, its database, and how it is started."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dbos.cli.failures import fail

FILE = "dbos-config.yaml"
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Project:
    """What the file says; None or nothing where it is silent."""

    name: str | None = None
    system_database_url: str | None = None
    start: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    migrate: tuple[str, ...] = ()


def read_project(directory: Path) -> Project | None:
    """The project of a directory, or None if it has no file. `${NAME}` stands for a variable of the environment.

    Fails for a file that is no YAML, or says something that cannot be meant.
    """
    path = directory / FILE
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise fail(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise fail(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    top = _section(path, {} if document is None else document, "the file")
    run_time = _section(path, top.get("runtimeConfig"), "runtimeConfig")
    database = _section(path, top.get("database"), "database")
    return Project(
        name=_text(path, top, "name"),
        system_database_url=_text(path, top, "system_database_url") or _text(path, top, "database_url"),
        start=_commands(path, run_time, "start"),
        setup=_commands(path, run_time, "setup"),
        migrate=_commands(path, database, "migrate"),
    )


def _section(path: Path, value: Any, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise fail(f"{path}: {what} must be a mapping of keys to values")
    return value


def _text(path: Path, section: dict[str, Any], key: str) -> str | None:
    value = section.get(key)
    if value is not None and not isinstance(value, str):
        raise fail(f"{path}: {key} must be a text, not {value!r}")
    return None if value is None else _expanded(value) or None


def _commands(path: Path, section: dict[str, Any], key: str) -> tuple[str, ...]:
    value = section.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise fail(f"{path}: {key} must be a list of commands")
    return tuple(_expanded(each) for each in value)


def _expanded(text: str) -> str:
    """With the values of variables in place of `${NAME}`; one that is not set is empty."""
    return _VARIABLE.sub(lambda match: os.environ.get(match[1], ""), text)
