"""Which code this is: a hash over the source of functions, which is the version of an application."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

from dbos.lazy import inspect
from dbos.runtime.callables import unwrapped

try:
    from _md5 import md5  # type: ignore[import-not-found]  # `hashlib` would load OpenSSL to do the same
except ImportError:
    from hashlib import md5


_BUILT = "<string>"  # the file of all that is compiled from a text: from 3.13 on it has lines, those of `python -c`


def fingerprint(functions: Mapping[str, Callable[..., Any]]) -> str:
    """The same for the same source under the same names, in every process."""
    digest = md5(b"dbos storage 1", usedforsecurity=False)
    for name, function in sorted(functions.items()):
        digest.update(f"\0{name}\0{_source(function)}".encode("utf-8", "surrogatepass"))
    version: str = digest.hexdigest()
    return version


def _source(body: Callable[..., Any]) -> str:
    """The lines of a function, its decorators included."""
    function = unwrapped(body)
    code = getattr(function, "__code__", None)
    if code is None:
        return repr(type(body))
    lines = [] if code.co_filename == _BUILT else _lines(code.co_filename, getattr(function, "__globals__", None))
    if len(lines) < code.co_firstlineno:  # typed at a prompt, or built: the code itself must do
        return repr((code.co_code, code.co_names, code.co_varnames))
    if not _knows_where_it_ends(code):
        return inspect.getsource(function)
    return "".join(lines[code.co_firstlineno - 1 : _last_line(code)])


def _lines(filename: str, module: dict[str, Any] | None) -> list[str]:
    linecache.checkcache(filename)
    return linecache.getlines(filename, module)


def _knows_where_it_ends(code: CodeType) -> bool:
    """Not if it was compiled with `-X no_debug_ranges`: of what takes several lines only the first is known."""
    return any(end_column is not None for *_, end_column in code.co_positions())


def _last_line(code: CodeType) -> int:
    """The code itself says that: to parse the source takes longer than the rest of a launch."""
    own = [end for _, end, _, _ in code.co_positions() if end is not None]
    inner = [_last_line(each) for each in code.co_consts if isinstance(each, CodeType)]
    return max(code.co_firstlineno, *own, *inner)
