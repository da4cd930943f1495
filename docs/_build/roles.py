"""A griffe extension that turns the Sphinx roles of docstrings into links of the site.

A role such as ``:class:`Room``` becomes a link if the reference has ``Room``, and code otherwise.
Literal blocks, which begin after ``::``, become code blocks.
"""

import re
from collections.abc import Iterator
from typing import Any

from griffe import Extension, GriffeLoader, NameResolutionError, Object

PACKAGES = ("peer", "media", "signaling", "encoding")
"""Packages below ``icefloe`` whose ``__all__`` is documented."""

HIDDEN = {
    "peer.DataChannel": "abandon join",
    "peer.ForwardedTrack": "end take",
    "peer.PeerConfiguration": "ice selection",
    "peer.PeerConnection": "await_change emit is_settled limit_restarts remote_candidates wanted",
    "peer.RemotePeer": "end negotiator run start",
    "peer.RemoteTrack": "begin",
}
"""Members that other parts of the package call, and no application."""

_ROLE = re.compile(r":(?:attr|class|data|exc|func|meth|mod|obj):`([^`]+)`")
_LITERAL = re.compile(r"::\n\n((?:    .*\n|\n)*    .*)(?=\n|\Z)")


class Roles(Extension):
    """Rewrites all docstrings of ``icefloe`` when it is loaded."""

    def on_package(self, *, pkg: Any, loader: GriffeLoader, **_: Any) -> None:
        if pkg.path != "icefloe":
            return
        for path, names in HIDDEN.items():
            for name in names.split():
                _remove(pkg[path].all_members[name])
        targets = _targets(pkg)
        for each in _objects(pkg):
            if each.docstring is not None:
                each.docstring.value = rewritten(each.docstring.value, each, targets)


def _remove(member: Any) -> None:
    defined = member.final_target if member.is_alias else member
    defined.parent.del_member(defined.name)


def _targets(package: Any) -> dict[str, str]:
    """Return the path that has an anchor for each path that a docstring may use."""
    targets: dict[str, str] = {}
    for name in PACKAGES:
        module = package[name]
        for export in module.exports or ():
            public = module.members[export]
            paths = {public.path, public.canonical_path}
            targets.update((path, public.path) for path in paths)
            for member in public.all_members.values() if public.is_class else ():
                if member.has_docstring and not member.name.startswith("_"):
                    anchor = f"{public.path}.{member.name}"
                    for path in (*(f"{p}.{member.name}" for p in paths), member.canonical_path):
                        targets.setdefault(path, anchor)
    return targets


def _objects(scope: Any) -> Iterator[Object]:
    """Yield an object and all that is defined in it."""
    yield scope
    for member in scope.members.values():
        if not member.is_alias:
            yield from _objects(member)


def rewritten(text: str, scope: Object, targets: dict[str, str]) -> str:
    """Return a docstring in Markdown.

    Args:
        text: The docstring.
        scope: The object that has it: names are looked up from there.
        targets: The anchor of each path that has one.
    """
    text = _LITERAL.sub(_code_block, text)
    return _ROLE.sub(lambda role: _link(role[1], scope, targets), text)


def _code_block(found: re.Match[str]) -> str:
    lines = (line.removeprefix("    ") for line in found[1].splitlines())
    return ":\n\n```python\n" + "\n".join(lines) + "\n```"


def _link(role: str, scope: Object, targets: dict[str, str]) -> str:
    path = role.lstrip("~.")
    first, _, rest = path.partition(".")
    paths = [path]
    try:
        paths.append(".".join(filter(None, (scope.resolve(first), rest))))
    except NameResolutionError:
        pass
    anchor = next((targets[each] for each in paths if each in targets), None)
    shown = path.rpartition(".")[2] if role.startswith("~") else path
    for package in PACKAGES:
        shown = shown.removeprefix(f"icefloe.{package}.")
    return f"[`{shown}`][{anchor}]" if anchor is not None else f"`{shown}`"
