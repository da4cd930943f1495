"""The site is complete: navigation, links, the reference, and what the architecture page names.

``make docs`` checks the same with MkDocs, and needs the extra ``docs``; this needs nothing.
"""

import importlib
import re
from itertools import pairwise
from pathlib import Path, PurePosixPath
from posixpath import normpath

import pytest

from tests.documents.blocks import DOCS, PAGES, ROOT

NAVIGATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
IN_NAVIGATION = re.findall(r"([\w/-]+\.md)$", NAVIGATION, re.MULTILINE)
HOOKS = (DOCS / "_build" / "hooks.py").read_text(encoding="utf-8")
OUTSIDE = dict(re.findall(r'^    "([\w./]+\.md)": "([\w./-]+\.md)",$', HOOKS, re.MULTILINE))
"""Pages of the site that lie outside of docs/."""

ALL_PAGES = (*PAGES, *(ROOT / source for source in OUTSIDE if source != "README.md"))
PACKAGES = ("encoding", "media", "peer", "signaling")
REFERENCE = {
    page: re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for page in sorted((DOCS / "reference").glob("*.md"))
}


def prose_of(page: Path) -> str:
    """Return a page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number = 0
        while (unique := f"{anchor}_{number}" if number else anchor) in found:
            number += 1
        found.add(unique)
    return found


def test_every_page_is_in_the_navigation_once() -> None:
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    outside = [place for source, place in OUTSIDE.items() if source != "README.md"]
    assert sorted(IN_NAVIGATION) == sorted([*pages, *outside])


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose_of(page))
    folder = PurePosixPath(page.relative_to(ROOT)).parent
    for link in links:
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = ROOT / normpath(str(folder / path)) if path else page
        assert target.exists(), f"{link} is not there"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_reference_is_to_a_public_name(page: Path) -> None:
    documented = {name for names in REFERENCE.values() for name in names}
    for target in re.findall(r"\]\[(icefloe\.[\w.]+)\]", prose_of(page)):
        assert target in documented or target.rpartition(".")[0] in documented, target
        found: object = importlib.import_module(".".join(target.split(".")[:2]))
        for part in target.split(".")[2:]:
            found = getattr(found, part)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_in_the_reference_once(package: str) -> None:
    prefix = f"icefloe.{package}."
    places = [name for names in REFERENCE.values() for name in names if name.startswith(prefix)]
    exported = importlib.import_module(prefix.rstrip(".")).__all__
    assert sorted(places) == sorted(prefix + name for name in exported)


def test_lists_follow_an_empty_line() -> None:
    """Python's Markdown takes a list that follows a line of text for a part of it."""
    for page in ALL_PAGES:
        lines = ["", *prose_of(page).splitlines()]
        for before, line in pairwise(lines):
            if re.match(r"([-*]|\d+\.) ", line):
                is_item = re.match(r"([-*]|\d+\.) |  ", before)
                assert not before or is_item, f"{page.name}: {line!r} follows {before!r}"


# --- architecture.md ----------------------------------------------------------------------------

ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")
WALKS = ARCHITECTURE.partition("## Four walks")[2]
STEPS = re.findall(r"^\d+\. ((?:.+\n(?:    .+\n)*))", WALKS, re.MULTILINE)


def files_of(text: str) -> list[Path]:
    """Return the files that a text names; one without a folder is in that of the one before."""
    folder, found = ROOT, []
    for name in re.findall(r"`([\w/]+\.py)`", text):
        path = ROOT / name if "/" in name else folder / name
        folder = path.parent
        found.append(path)
    return found


def test_there_are_four_walks() -> None:
    assert len(re.findall(r"^### ", WALKS, re.MULTILINE)) == 4
    assert len(STEPS) > 40


def test_the_folders_of_the_architecture_are_there() -> None:
    table = ARCHITECTURE.partition("Within `peer/`")[2].partition("## Direction")[0]
    for name in re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE):
        for part in re.findall(r"`([^`]+)`", name):
            assert (ROOT / "peer" / part).exists(), part
    for name in re.findall(
        r"^\| `([\w/]+/)` \|", ARCHITECTURE.partition("Within")[0], re.MULTILINE
    ):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:peer|signaling|media|src)/[\w/.]*)`", ARCHITECTURE):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.split()[0].strip("`:,"))
def test_a_step_of_a_walk_names_what_its_files_have(step: str) -> None:
    files = files_of(step)
    for path in files:
        assert path.exists(), path.relative_to(ROOT)
    code = "".join(path.read_text(encoding="utf-8") for path in files)
    for owner, name in re.findall(r"`(?:([A-Z]\w+)\.)?(\w+)\([^`]*\)`", step):
        if files:
            assert re.search(rf"def {name}\(", code), name
            assert not owner or re.search(rf"^class {owner}\b", code, re.MULTILINE), owner
