"""No code shows what another machine wrote past the functions that make it printable."""

import ast
import importlib
import inspect
import io
import logging
import pkgutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import pytest

import icefloe
from icefloe.logs import get_logger, make_printable
from icefloe.text import MAX_SENTENCE, PrintableError

NOT_LOADED = {"icefloe.__main__", "icefloe.demos.desktop.__main__"}
"""They are commands: their code is read all the same."""

LEVELS = {"icefloe._serving", "icefloe.demos._attending", "icefloe.logs"}
"""They set the levels of other libraries' loggers, or make those of icefloe."""

OTHER_ROOTS = {
    "icefloe.peer.ice.turn.channels.NoChannelLeft": "a fixed sentence",
    "icefloe.peer.rtp.send.track_reader.TrackFailed": "never leaves the package",
    "icefloe.peer.files.disk_thread.Stopped": "has no text, and ends within its package",
}
"""Exceptions that make nothing printable, and why they need not."""

FOREIGN = frozenset(
    [
        "address",
        "candidate",
        "code",
        "data",
        "description",
        "detail",
        "fragment",
        "header",
        "host",
        "label",
        "line",
        "message",
        "mid",
        "mime",
        "name",
        "offer",
        "origin",
        "password",
        "path",
        "peer",
        "protocol",
        "question",
        "reason",
        "room",
        "sdp",
        "sentence",
        "server",
        "subprotocol",
        "text",
        "ufrag",
        "uri",
        "url",
        "username",
        "value",
        "words",
    ]
)
"""Names of variables and attributes that may hold what others wrote."""

SAFE = {"printable", "quoted", "public_url", "len", "repr", "_short", "_place", "_reason", "type"}
"""Functions that make it printable, or take no more of it than its size or type."""

CHOSEN_HERE = {
    ("icefloe.encoding.", "name"): "names of codecs and devices of this machine",
    ("icefloe.media.", "name"): "names of parameters and formats that this program gives",
    ("icefloe.media.", "path"): "files that this program names",
    ("icefloe.demos.effects", "name"): "an effect of a fixed list",
    ("icefloe.peer._aiortc.versions", "name"): "names of the code of libraries",
    ("icefloe.signaling.quotas", "name"): "names of fields",
}
"""By module and name: what is not foreign there."""


def modules() -> Iterator[tuple[str, Path]]:
    root = Path(icefloe.__file__).parent
    yield "icefloe", root / "__init__.py"
    for info in pkgutil.walk_packages([str(root)], "icefloe."):
        spec = info.module_finder.find_spec(info.name, None)
        assert spec is not None
        assert spec.origin is not None
        yield info.name, Path(spec.origin)


MODULES = dict(modules())


@lru_cache(None)
def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def loaded(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_all_of_the_code_is_read() -> None:
    assert len(MODULES) > 200
    for name in (
        "signaling.client",
        "peer.ice.agent",
        "media.sinks.recorder",
        "demos.voice",
        "text",
    ):
        assert f"icefloe.{name}" in MODULES


def test_records_of_the_log_go_through_a_logger_of_icefloe() -> None:
    past = [
        f"{name}:{node.lineno}"
        for name in MODULES.keys() - LEVELS
        for node in ast.walk(parsed(name))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node).removeprefix("logging.")
        in ("getLogger", "info", "warning", "error", "debug", "exception")
        and ast.unparse(node.value) == "logging"
    ]
    assert past == []


def test_what_is_logged_is_an_argument_and_no_part_of_the_format() -> None:
    past = []
    for name in MODULES:
        for node in ast.walk(parsed(name)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and ast.unparse(node.func.value).endswith("logger")
                and node.func.attr
                in ("debug", "info", "warning", "error", "exception", "critical", "log")
            ):
                first = node.args[1 if node.func.attr == "log" else 0]
                if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                    past.append(f"{name}:{node.lineno}")
    # NamingLogger, which puts a name before the format.
    assert [
        place for place in past if not place.startswith("icefloe.peer._util.peer_logger:")
    ] == []


def test_every_error_makes_its_sentence_printable() -> None:
    found = set()
    for name in MODULES.keys() - NOT_LOADED:
        for value in vars(loaded(name)).values():
            if (
                inspect.isclass(value)
                and issubclass(value, BaseException)
                and value.__module__ == name
            ):
                found.add(value)
    assert len(found) > 50
    past = {f"{each.__module__}.{each.__qualname__}" for each in found if not _is_safe(each)}
    assert past == OTHER_ROOTS.keys()


def _is_safe(error: type[BaseException]) -> bool:
    return issubclass(error, PrintableError) and error.__str__ is PrintableError.__str__


def _words(expression: ast.AST) -> Iterator[str]:
    """Give the names whose values an expression is made of: `kind` of `message.kind`."""
    match expression:
        case ast.Call(func=ast.Name(id=function)) if function in SAFE:
            return
        case ast.Attribute(attr="__name__"):
            return
        case ast.Attribute(attr=word) | ast.Name(id=word):
            yield word
        case _:
            for child in ast.iter_child_nodes(expression):
                yield from _words(child)


def _raw(name: str, text: ast.AST) -> Iterator[str]:
    """Give what an f-string shows of names that may be foreign, as they are."""
    for value in ast.walk(text):
        if not isinstance(value, ast.FormattedValue) or value.conversion == ord("r"):
            continue
        if value.format_spec is not None:
            continue
        for word in _words(value.value):
            is_ours = any(name.startswith(module) and word == ours for module, ours in CHOSEN_HERE)
            if word in FOREIGN and not is_ours:
                yield f"{name}:{value.lineno} {word}"


def test_an_error_of_another_kind_shows_foreign_text_escaped() -> None:
    past: list[str] = []
    for name in MODULES.keys() - NOT_LOADED:
        for node in ast.walk(parsed(name)):
            if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
                continue
            raised = getattr(loaded(name), ast.unparse(node.exc.func), None)
            if not (isinstance(raised, type) and issubclass(raised, PrintableError)):
                past += _raw(name, node.exc)
    assert past == []


def test_what_is_written_to_a_terminal_is_printable() -> None:
    writers = {"sys.stdout.write", "sys.stderr.write", "write_line", "print", "typer.echo"}
    past: list[str] = []
    for name in MODULES:
        for node in ast.walk(parsed(name)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in writers:
                past += (raw for argument in node.args for raw in _raw(name, argument))
    assert past == []


def test_the_walk_sees_what_goes_past() -> None:
    seen = ast.parse("raise OSError(f'{peer.name}, {reason!r}, {printable(text)}, {len(sdp)}')")
    assert list(_raw("icefloe.peer.rooms.room", seen)) == ["icefloe.peer.rooms.room:1 name"]


EVIL = "\x1b]0;owned\x07\x1b[2J\r\n2025-01-01 WARNING icefloe: forged\u202e"


class _Foreign:
    def __repr__(self) -> str:
        return EVIL


@pytest.mark.parametrize("form", ["%s", "%r", "%.80r"])
@pytest.mark.parametrize("value", [EVIL, ValueError(EVIL), EVIL.encode(), _Foreign()])
def test_no_argument_of_a_record_gets_out_of_its_line(
    form: str, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    whole = f"%d said {form} at %.1f"
    get_logger("icefloe.tests.foreign").warning(whole, 7, value, 1.5)
    (message,) = caplog.messages
    assert message.startswith("7 said ")
    assert message.endswith(" at 1.5")
    assert message.isprintable()


def test_a_mapping_as_the_argument_is_printable(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("icefloe.tests.foreign").warning("%(name)s of %(count)d", {"name": EVIL, "count": 2})
    assert caplog.messages[0].isprintable()
    assert caplog.messages[0].endswith("forged\\u202e of 2")


def test_no_line_of_a_traceback_passes_for_a_record(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError(EVIL)
    except ValueError:
        get_logger("icefloe.tests.foreign").exception("it failed")
    first, *others = caplog.text.rstrip("\n").split("\n")
    assert first.endswith("it failed")
    assert len(others) > 3
    for line in others:
        assert line.startswith("  ")
        assert line.isprintable()
    assert "ValueError" in caplog.text


def test_an_argument_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("icefloe.tests.foreign").warning("%s %r %r", "x" * 10**7, "y" * 10**7, b"z" * 10**7)
    assert len(caplog.messages[0]) < 3 * MAX_SENTENCE + 10


@pytest.mark.parametrize("text", [EVIL, EVIL * 100_000])
def test_an_error_is_one_printable_line(text: str) -> None:
    for error in (PrintableError(text), PrintableError(7, text)):
        assert str(error).isprintable()
        assert repr(error).isprintable()
        assert len(str(error)) < 5 * MAX_SENTENCE


def test_a_handler_makes_the_records_of_libraries_printable() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(make_printable)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    library = logging.Logger("library")
    library.addHandler(handler)
    library.warning(EVIL)
    library.warning("%s of %d", EVIL, 2)
    library.error("it failed", exc_info=ValueError(EVIL))
    whole, argument, failed, *traceback = stream.getvalue().rstrip("\n").split("\n")
    assert whole.startswith("WARNING \\x1b]0;owned")
    assert argument.endswith("forged\\u202e of 2")
    assert failed == "ERROR it failed"
    assert len(traceback) > 0
    assert all(line.startswith("  ") and line.isprintable() for line in traceback)
