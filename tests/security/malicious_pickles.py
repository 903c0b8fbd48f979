"""Pickles that do something when they are read: each leaves a file behind, by a way of its own.

`python -m tests.security.malicious_pickles DIRECTORY` reads every one of them, as a program would that trusts them, and
prints the names of those that left their file: a corpus that harms nobody would prove nothing.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

Arguments = tuple[Any, ...]

# ---------------------------------------------------------------- what they call

GADGETS: dict[str, Callable[[str], tuple[str, Arguments]]] = {
    "a shell": lambda path: ("os system", (f"touch {path}",)),
    "a shell by another name": lambda path: ("posix system", (f"touch {path}",)),
    "a process": lambda path: ("subprocess call", (["touch", path],)),
    "a process that is asked": lambda path: ("subprocess check_output", (["touch", path],)),
    "a process that is run": lambda path: ("subprocess run", (["touch", path],)),
    "the output of a shell": lambda path: ("subprocess getoutput", (f"touch {path}",)),
    "an expression": lambda path: ("builtins eval", (f"open({path!r}, 'w')",)),
    "statements": lambda path: ("builtins exec", (f"open({path!r}, 'w').close()",)),
    "timed statements": lambda path: ("timeit timeit", ("pass", f"open({path!r}, 'w').close()")),
    "profiled statements": lambda path: ("profile run", (f"open({path!r}, 'w').close()", f"{path}.profile")),
    "a file": lambda path: ("builtins open", (path, "w")),
    "a file by another name": lambda path: ("io open", (path, "w")),
    "a file of a codec": lambda path: ("codecs open", (path, "w")),
    "a file of the system": lambda path: ("os open", (path, 0o102)),
    "a raw file": lambda path: ("_io FileIO", (path, "w")),
    "a directory": lambda path: ("os mkdir", (path,)),
    "directories": lambda path: ("os makedirs", (path,)),
    "a pipe in the file system": lambda path: ("os mkfifo", (path,)),
    "a link": lambda path: ("os symlink", ("/", path)),
    "a copy": lambda path: ("shutil copyfile", ("/dev/null", path)),
    "a copied tree": lambda path: ("shutil copytree", (str(Path(__file__).parent), path)),
    "an archive": lambda path: ("tarfile open", (path, "w")),
    "a compressed file": lambda path: ("gzip open", (path, "w")),
    "another compressed file": lambda path: ("bz2 open", (path, "w")),
    "a zip file": lambda path: ("zipfile ZipFile", (path, "w")),
    "a log file": lambda path: ("logging FileHandler", (path,)),
    "a mailbox": lambda path: ("mailbox Maildir", (path,)),
    "an empty database": lambda path: ("dbm.dumb open", (path, "n")),
}
MARKERS = ("", ".dat", ".dir", ".profile")  # what a gadget may append to the path


# ---------------------------------------------------------------- how they say it


def _value(value: Any) -> bytes:
    """The opcodes that push plain data."""
    return pickle.dumps(value, 0)[:-1]


def _text(text: str) -> bytes:
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def _plainly(name: str, arguments: Arguments) -> bytes:
    """GLOBAL, REDUCE: as pickle itself wrote for twenty years."""
    module, _, function = name.partition(" ")
    pushed = b"".join(map(_value, arguments))
    return f"c{module}\n{function}\n".encode() + b"(" + pushed + b"tR."


def _by_stack(name: str, arguments: Arguments) -> bytes:
    """STACK_GLOBAL: the name is not in one piece."""
    module, _, function = name.partition(" ")
    return b"\x80\x04" + _text(module) + _text(function) + b"\x93(" + b"".join(map(_value, arguments)) + b"tR."


def _as_instance(name: str, arguments: Arguments) -> bytes:
    """INST."""
    module, _, function = name.partition(" ")
    return b"(" + b"".join(map(_value, arguments)) + f"i{module}\n{function}\n.".encode()


def _as_object(name: str, arguments: Arguments) -> bytes:
    """OBJ."""
    module, _, function = name.partition(" ")
    return b"(" + f"c{module}\n{function}\n".encode() + b"".join(map(_value, arguments)) + b"o."


def _remembered(name: str, arguments: Arguments) -> bytes:
    """PUT and GET: the call is far from the name."""
    module, _, function = name.partition(" ")
    return (
        f"c{module}\n{function}\n".encode()
        + b"p7\n0"
        + _value("nothing to see here")
        + b"0g7\n("
        + b"".join(map(_value, arguments))
        + b"tR."
    )


def _discarded(name: str, arguments: Arguments) -> bytes:
    """What it gives is dropped: the value looks harmless."""
    return _plainly(name, arguments)[:-1] + b"0" + _value({"args": [1], "kwargs": {}}) + b"."


def _in_arguments(name: str, arguments: Arguments) -> bytes:
    """In the arguments of a call."""
    inner = _plainly(name, arguments)[:-1]
    return b"(" + _value("args") + b"(" + inner + b"t" + _value("kwargs") + b"}d."


def _in_an_exception(name: str, arguments: Arguments) -> bytes:
    """In an exception of Python's own."""
    return b"cbuiltins\nValueError\n(" + _plainly(name, arguments)[:-1] + b"tR."


def _through_getattr(name: str, arguments: Arguments) -> bytes:
    """What is called comes out of a call."""
    module, _, function = name.partition(" ")
    found = b"cbuiltins\ngetattr\n(cimportlib\nimport_module\n(" + _value(module) + b"tR" + _value(function) + b"tR"
    return found + b"(" + b"".join(map(_value, arguments)) + b"tR."


WAYS = (
    _plainly, _by_stack, _as_instance, _as_object, _remembered, _discarded, _in_arguments, _in_an_exception,
    _through_getattr,
)  # fmt: skip
ALWAYS = (_plainly, _through_getattr)  # of every gadget; of each of the other ways there are some


def _state(path: str) -> bytes:
    """BUILD: an attribute is set by a method that does something."""
    return b"clogging.config\nDictConfigurator\n(}tR" + _plainly("builtins open", (path, "w"))[:-1] + b"b."


def corpus(directory: Path) -> Iterator[tuple[str, Path, bytes]]:
    """What each of them is called, the file that it leaves behind, and the pickle."""
    number = 0
    for place, (what, gadget) in enumerate(GADGETS.items()):
        others = [way for way in WAYS if way not in ALWAYS]
        for way in (*ALWAYS, others[place % len(others)]):
            marker = directory / f"marker-{number}"
            name, arguments = gadget(str(marker))
            yield f"{what}, {(way.__doc__ or '').split(':')[0].rstrip('.')}", marker, way(name, arguments)
            number += 1
    marker = directory / f"marker-{number}"
    yield "a file, BUILD", marker, _state(str(marker))


def left_behind(marker: Path) -> bool:
    """Has it done what it wanted?"""
    return any(os.path.lexists(f"{marker}{suffix}") for suffix in MARKERS)


def main(arguments: Sequence[str]) -> int:
    """Read all of them."""
    warnings.simplefilter("ignore")
    for name, marker, data in corpus(Path(arguments[0])):
        with suppress(Exception):
            pickle.loads(data)
        if left_behind(marker):
            print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
