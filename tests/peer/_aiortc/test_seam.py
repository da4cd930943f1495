"""The seam to aiortc and aioice: what is checked is what is used, and nothing else uses it."""

import ast
import dis
import importlib.util
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from importlib.abc import InspectLoader
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import CodeType

import aiortc
import pytest
from aiortc import RTCCertificate, RTCIceTransport, RTCRtpTransceiver

from icefloe.peer import _aiortc
from icefloe.peer._aiortc import AGENT_CONTRACT, IceTransport, check, names as checked
from icefloe.peer.errors import IncompatibleVersions
from icefloe.peer.ice.agent import IceAgent

SEAM = Path(_aiortc.__file__).resolve().parent
ROOMS = sorted(SEAM.glob("*.py"))
PEER = SEAM.parent
OTHERS = sorted(path for path in PEER.rglob("*.py") if path not in ROOMS)


# --- the agent


@pytest.mark.parametrize("name", AGENT_CONTRACT)
def test_the_agent_has_every_name_of_the_contract(name: str) -> None:
    assert hasattr(IceAgent, name)


def test_the_agent_takes_what_aiortc_sets() -> None:
    assert vars(IceAgent)["ice_controlling"].fset is not None


def nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def functions(module: str) -> Iterator[CodeType]:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert isinstance(found.loader, InspectLoader)
    code = found.loader.get_code(module)
    assert code is not None
    yield from nested(code)


def uses_of_connection(code: CodeType) -> Iterator[str | None]:
    """Yield the attribute that follows each load of ``_connection``; ``None`` if none follows."""
    steps = [step for step in dis.get_instructions(code) if step.opname != "EXTENDED_ARG"]
    for step, following in pairwise(steps):
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argval == "_connection":
            attribute = following.opname in ("LOAD_ATTR", "LOAD_METHOD", "STORE_ATTR")
            yield str(following.argval) if attribute else None


REPLACED = {
    "RTCIceTransport._monitor",  # called by start() alone
    *(
        f"RTCIceTransport.{name}"
        for name in vars(IceTransport)
        if inspect.isfunction(getattr(RTCIceTransport, name, None))
    ),
}

MODULES = [module.name for module in pkgutil.walk_packages(aiortc.__path__, "aiortc.")]


def test_aiortc_uses_the_names_of_the_contract_and_no_other() -> None:
    used = {
        name
        for module in MODULES
        for code in functions(module)
        if code.co_qualname not in REPLACED
        for name in uses_of_connection(code)
        if name is not None
    }
    assert {"RTCIceTransport.start", "RTCIceTransport.stop"} < REPLACED
    assert used == set(AGENT_CONTRACT)
    assert {"aiortc.rtcicetransport", "aiortc.rtcpeerconnection"} <= set(MODULES)


def test_aiortc_passes_the_agent_on_at_one_place_only() -> None:
    # A use through another name would escape the test above.
    places = [
        code.co_qualname
        for module in MODULES
        for code in functions(module)
        for name in uses_of_connection(code)
        if name is None
    ]
    assert places == ["RTCIceTransport.__init__"]


# --- the check


@pytest.mark.parametrize(
    ("table", "cls", "full"),
    [
        ("METHODS", RTCCertificate, "aiortc.rtcdtlstransport.RTCCertificate._bogus"),
        ("ATTRIBUTES", RTCIceTransport, "aiortc.rtcicetransport.RTCIceTransport._bogus"),
    ],
)
def test_a_name_that_is_gone_is_named_with_the_versions(
    monkeypatch: pytest.MonkeyPatch, table: str, cls: type, full: str
) -> None:
    names = getattr(checked, table)
    monkeypatch.setitem(names, cls, (*names[cls], "_bogus"))
    with pytest.raises(IncompatibleVersions) as caught:
        check()
    assert caught.value.missing == [full]
    for part in (full, f"aiortc {version('aiortc')}", f"aioice {version('aioice')}"):
        assert part in str(caught.value)


def test_a_method_that_aiortc_drops_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(RTCCertificate, "_create_ssl_context")
    monkeypatch.setattr(RTCRtpTransceiver, "_set_mid", "no method any more")
    with pytest.raises(IncompatibleVersions) as caught:
        check()
    assert caught.value.missing == [
        "aiortc.rtcdtlstransport.RTCCertificate._create_ssl_context",
        "aiortc.rtcrtptransceiver.RTCRtpTransceiver._set_mid",
    ]


def test_an_attribute_that_aiortc_drops_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def __init__(self: RTCIceTransport) -> None:
        self._connection = self._recv = self._send = None  # type: ignore[assignment]

    monkeypatch.setattr(RTCIceTransport, "__init__", __init__)
    with pytest.raises(IncompatibleVersions) as caught:
        check()
    assert caught.value.missing == ["aiortc.rtcicetransport.RTCIceTransport._role_set"]


# --- who touches private names


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_attributes(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """Yield object, name and line of each private attribute that is accessed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield ast.unparse(node.value), node.attr, node.lineno


def _set_by(cls: ast.ClassDef) -> Iterator[str]:
    """Yield the attributes of self that a class sets which derives from no other."""
    for node in ast.walk(cls):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                yield name
            case ast.Constant(value=str(name)) if is_private(name):
                yield name  # of __slots__


def own_names(tree: ast.AST) -> set[str]:
    """Return the private names that a file defines: functions, fields, attributes of self."""
    defined = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                defined.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                defined.add(name)
            case ast.AnnAssign(target=ast.Attribute(attr=name)):
                defined.add(name)
            case ast.ClassDef(bases=[]):
                defined.update(_set_by(node))
    return set(filter(is_private, defined))


CHECKED = {
    name
    for table in (checked.METHODS, checked.ATTRIBUTES)
    for names in table.values()
    for name in names
}


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(PEER)))
def test_outside_the_seam_nobody_touches_anothers_private_names(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    touched = [
        f"{path.name}:{line} {owner}.{name}"
        for owner, name, line in private_attributes(tree)
        if owner not in ("self", "cls", "super()")
    ]
    spelled_out = [
        f"{path.name}:{node.lineno} {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in CHECKED
    ]
    assert touched + spelled_out == []


def foreign_bases(cls: type) -> list[type]:
    return [base for base in cls.__mro__ if base.__module__.startswith(("aiortc.", "aioice."))]


def derived_classes() -> Iterator[type]:
    """Yield the classes outside the seam that derive from one of aiortc or aioice."""
    for found in pkgutil.walk_packages([str(PEER)], "icefloe.peer."):
        if found.name.startswith(_aiortc.__name__):
            continue
        module = importlib.import_module(found.name)
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__ == found.name and foreign_bases(cls):
                yield cls


@pytest.mark.parametrize("cls", list(derived_classes()), ids=lambda cls: cls.__name__)
def test_what_a_subclass_keeps_to_itself_is_no_name_of_its_base(cls: type) -> None:
    theirs: set[str] = set()
    for base in foreign_bases(cls):
        theirs.update(vars(base))
        for member in vars(base).values():
            function = getattr(member, "fget", member)
            if hasattr(function, "__code__"):
                theirs.update(*(code.co_names for code in nested(function.__code__)))
    body = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    ours = {name for owner, name, _ in private_attributes(body) if owner == "self"}
    assert ours & theirs == set()


def test_every_private_name_that_the_seam_uses_is_checked_at_import() -> None:
    tree = ast.parse("".join(room.read_text(encoding="utf-8") for room in ROOMS))
    used = {name for _, name, _ in private_attributes(tree)}
    for node in ast.walk(tree):
        match node:
            # private["name"] stands for a mangled name of the class that the file adapts.
            case ast.Subscript(
                value=ast.Name(id="private") | ast.Attribute(attr="private" | "_private"),
                slice=ast.Constant(value=str(name)),
            ):
                used.add(name)
            case ast.Call(
                func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]
            ) if is_private(name):
                used.add(name)
    mangled = {name.rpartition("__")[2] for name in CHECKED if "__" in name}
    assert used - own_names(tree) - CHECKED - mangled == set()
