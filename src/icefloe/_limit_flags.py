"""A flag of the command, with its environment variable, for each limit of a server."""

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from icefloe._options import option
from icefloe._server_limits import FLAGS, ServerLimit


def with_limits(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags of all limits; it is passed them as ``limits``, by their names.

    typer reads flags from the signature of a function. This extends the signature.

    Args:
        command: The function of the command, with an argument ``limits``.
    """
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "limits"]
    flags = {f"limit_{limit.name}": limit for limit in FLAGS}

    @wraps(command)
    def run(**given: Any) -> None:
        limits = {limit.name: given.pop(argument) for argument, limit in flags.items()}
        command(**given, limits=limits)

    more = [_parameter(argument, limit) for argument, limit in flags.items()]
    everything = signature.replace(parameters=[*own, *more])
    run.__signature__ = everything  # type: ignore[attr-defined]
    run.__annotations__ = {
        parameter.name: parameter.annotation for parameter in everything.parameters.values()
    }
    return run


def _parameter(argument: str, limit: ServerLimit) -> inspect.Parameter:
    kind = type(limit.default)
    flag = option(
        limit.flag,
        limit.help,
        metavar=limit.unit,
        min=limit.least,
        max=limit.most,
        callback=_checked,
        rich_help_panel="Limits",
    )
    return inspect.Parameter(
        argument,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=limit.default,
        annotation=Annotated[kind, flag],
    )


def _checked(value: float) -> float:
    if not math.isfinite(value):  # a range does not refuse what compares with nothing
        raise typer.BadParameter("give a finite number")
    return value
