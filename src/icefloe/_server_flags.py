"""The flags of the commands that run a server, beside those of ``_options``: limits and operation.

Both commands have them, and each limit makes one; so they stand in tables, and are added to the
signature of a command, from which typer reads its flags.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icefloe._options import file_option, option
from icefloe._secrets import read_metrics_token
from icefloe._server_limits import FLAGS, ServerLimit
from icefloe.logs import LogFormat

if TYPE_CHECKING:
    from icefloe.signaling import MetricsAccess

_Format = Annotated[
    LogFormat,
    option(
        "--log-format",
        "Format of the log: text, or json with one object a line, without addresses.",
        metavar="FORMAT",
        case_sensitive=False,
    ),
]
_ReusePort = Annotated[
    bool,
    option(
        "--reuse-port/--no-reuse-port",
        "Let the next server listen on the port while this one sends its clients to it.",
    ),
]

_MetricsFrom = Annotated[
    list[str],
    option(
        "--metrics-from",
        "Network that may read /metrics, as 10.0.0.0/8; by default this machine. May be given "
        "again.",
        metavar="NETWORK",
        show_default=False,
    ),
]
_MetricsTokenFile = Annotated[
    Path | None,
    file_option(
        "--metrics-token-file",
        "Token that reads /metrics from everywhere, as Authorization: Bearer. "
        "ICEFLOE_METRICS_TOKEN may have the token in its place.",
    ),
]
_ClientReports = Annotated[
    bool,
    option(
        "--client-reports/--no-client-reports",
        "Ask clients how connecting with their peers went, for the metrics.",
    ),
]

_OPERATION: dict[str, tuple[Any, Any]] = {
    "log_format": (_Format, LogFormat.TEXT),
    "metrics_from": (_MetricsFrom, []),
    "metrics_token_file": (_MetricsTokenFile, None),
    "client_reports": (_ClientReports, True),
    "reuse_port": (_ReusePort, False),
}
"""The annotation and the default of each flag, by its argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFlags:
    """The values of the flags.

    Attributes:
        limits: The limits by their names.
        log_format: The format of the log.
        metrics_from: Networks that may read the metrics.
        metrics_token_file: The file with the token that reads them.
        client_reports: Whether clients are asked how connecting with their peers went.
        reuse_port: Whether the next server may listen on the port while this one drains.
    """

    limits: Mapping[str, float] = field(default_factory=dict)
    log_format: LogFormat = LogFormat.TEXT
    metrics_from: Iterable[str] = ()
    metrics_token_file: Path | None = None
    client_reports: bool = True
    reuse_port: bool = False

    def settings(self) -> dict[str, Any]:
        """Return the arguments of ``Settings`` that they decide.

        Raises:
            BadParameter: A value cannot be.
        """
        return {
            "limits": self.limits,
            "metrics": _metrics(self.metrics_from, self.metrics_token_file),
            "client_reports": self.client_reports,
            "reuse_port": self.reuse_port,
        }


def with_server_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these flags; it is passed their values as ``flags``.

    Args:
        command: The function of the command, with an argument ``flags`` of :class:`ServerFlags`.
    """
    signature = inspect.signature(command)
    own = [parameter for name, parameter in signature.parameters.items() if name != "flags"]
    limits = {f"limit_{limit.name}": limit for limit in FLAGS}

    @wraps(command)
    def run(**given: Any) -> None:
        values = {limit.name: given.pop(argument) for argument, limit in limits.items()}
        operation = {argument: given.pop(argument) for argument in _OPERATION}
        command(**given, flags=ServerFlags(limits=values, **operation))

    more = [_parameter(name, kind, default) for name, (kind, default) in _OPERATION.items()]
    more += [_limit_parameter(argument, limit) for argument, limit in limits.items()]
    everything = signature.replace(parameters=[*own, *more])
    run.__signature__ = everything  # type: ignore[attr-defined]
    run.__annotations__ = {
        parameter.name: parameter.annotation for parameter in everything.parameters.values()
    }
    return run


def _limit_parameter(argument: str, limit: ServerLimit) -> inspect.Parameter:
    flag = option(
        limit.flag,
        limit.help,
        metavar=limit.unit,
        min=limit.least,
        max=limit.most,
        callback=_checked,
        rich_help_panel="Limits",
    )
    return _parameter(argument, Annotated[type(limit.default), flag], limit.default)


def _parameter(argument: str, annotation: Any, default: object) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(argument, kind, default=default, annotation=annotation)


def _checked(value: float) -> float:
    if not math.isfinite(value):  # a range does not refuse what compares with nothing
        raise typer.BadParameter("give a finite number")
    return value


def _metrics(networks: Iterable[str], token_file: Path | None) -> "MetricsAccess":
    from icefloe.signaling import MetricsAccess

    try:
        token = read_metrics_token(token_file)
        access = MetricsAccess(token=token)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--metrics-token-file") from error
    try:
        return MetricsAccess(networks=tuple(networks) or access.networks, token=token)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--metrics-from") from error
