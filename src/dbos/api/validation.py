"""Validating the arguments of workflows by their annotations, with pydantic, which is loaded when first needed."""

from __future__ import annotations

import reprlib
import typing
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dbos.error import DBOSException, DBOSInvalidArgumentsError
from dbos.lazy import inspect
from dbos.runtime.registry import Arguments, ValidateArgs

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def pydantic_args_validator(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Stands in `@DBOS.workflow(validate_args=...)` for a validator by the annotations of the function.

    It is never called itself: which function it is about is known at decoration only. Raises DBOSException.
    """
    raise DBOSException(
        "pydantic_args_validator is for @DBOS.workflow(validate_args=pydantic_args_validator); to validate the "
        "arguments of a function yourself, use make_pydantic_args_validator(func)"
    )


def make_pydantic_args_validator(func: Callable[..., Any]) -> ValidateArgs:
    """A validator of a function's arguments by its annotations; `self` and `cls` are not among them.

    Args:
        func: Any function. Its annotations are resolved by the first call.

    The validator takes `(args, kwargs)` and returns them as pydantic understands them: the text `"5"` as an int where
    an int is asked for, a dict as the model, an RFC 3339 text as a datetime. It raises DBOSInvalidArgumentsError, which
    is a ValueError too, with everything that is wrong. Raises DBOSException if `func` is no function, or if pydantic is
    not installed.
    """
    if not callable(func):
        raise DBOSException(f"make_pydantic_args_validator() takes a function, not {func!r}")
    if find_spec("pydantic") is None:
        raise DBOSException("Validating arguments needs pydantic: install it, or dbos with its extra `validation`")
    validator: ValidateArgs | None = None

    def validate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        nonlocal validator
        validator = validator or _validator(func)
        return validator(args, kwargs)

    return validate


def chosen(validate_args: ValidateArgs | None, func: Callable[..., Any]) -> ValidateArgs | None:
    """The validator of a workflow's arguments, as it was asked for. Raises DBOSException."""
    if validate_args is pydantic_args_validator:
        return make_pydantic_args_validator(func)
    if validate_args is not None and not callable(validate_args):
        raise DBOSException(f"validate_args must be a function of (args, kwargs), not {validate_args!r}")
    return validate_args


def _validator(func: Callable[..., Any]) -> ValidateArgs:
    from pydantic import ConfigDict, ValidationError, validate_call

    parameters = _parameters(func)

    def taken(*args: Any, **kwargs: Any) -> Arguments:
        return args, kwargs

    taken.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    taken.__annotations__ = {each.name: each.annotation for each in parameters if each.annotation is not each.empty}
    checked = validate_call(config=ConfigDict(arbitrary_types_allowed=True))(taken)

    def validate(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        try:
            return checked(*args, **kwargs)
        except ValidationError as error:
            problems = {
                _path(parameters, problem["loc"]): _text(problem) for problem in error.errors(include_url=False)
            }
        raise DBOSInvalidArgumentsError(getattr(func, "__qualname__", repr(func)), problems)

    return validate


def _parameters(func: Callable[..., Any]) -> list[inspect.Parameter]:
    """Those that callers fill, with what their annotations mean."""
    parameters = list(inspect.signature(func).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        del parameters[0]
    hints = typing.get_type_hints(func, include_extras=True)
    return [each.replace(annotation=hints.get(each.name, each.empty)) for each in parameters]


def _path(parameters: Sequence[inspect.Parameter], location: tuple[int | str, ...]) -> str:
    """Where a problem is, as one writes it: `order.items[0]`. A positional argument has the name of its parameter."""
    first, rest = location[0], location[1:]
    if isinstance(first, int):
        positional = [each for each in parameters if each.kind <= inspect.Parameter.VAR_POSITIONAL]
        named = [each.name for each in positional if each.kind < inspect.Parameter.VAR_POSITIONAL]
        if first < len(named):
            first = named[first]
        elif len(named) < len(positional):
            first = f"{positional[-1].name}[{first - len(named)}]"
        else:
            first = f"args[{first}]"
    return first + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)


def _text(problem: ErrorDetails) -> str:
    if problem["type"] in ("missing_argument", "missing"):
        return problem["msg"]
    return f"{problem['msg']} (got {reprlib.repr(problem['input'])})"
