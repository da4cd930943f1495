"""MkDocs hooks: pages from outside of docs/, and a check that a page loads nothing from elsewhere."""

import logging
import re
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

logger = logging.getLogger("mkdocs.hooks.icefloe")

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security-policy.md",
    "demos/README.md": "project/demos.md",
}
"""Files of the repository that are pages of the site, by where they stand there."""

_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")
_NAME_IN_CELL = re.compile(r"(?<=<td><code>)[\w/]+(?:\.[\w/:\[\]]+)+(?=</code></td>)")
_LOADED = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\"> ]+)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the pages that lie outside of docs/."""
    for source, page in OUTSIDE.items():
        if page != "index.md":
            files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Lead links from and to these pages to where they stand in the site."""
    place = page.file.src_uri
    if place == "index.md":
        page.meta["hide"] = ["navigation"]  # there is nothing but itself
    source = next((s for s, p in OUTSIDE.items() if p == place and p != "index.md"), None)
    folder = PurePosixPath("docs", place).parent if source is None else PurePosixPath(source).parent

    def redirected(link: re.Match[str]) -> str:
        target = normpath(str(folder / link[2]))
        if target in OUTSIDE:
            inside = OUTSIDE[target]
        elif target.startswith("docs/"):
            inside = target.removeprefix("docs/")
        else:
            return link[0] if source is None else f"`{link[1].strip('`')}`"
        start = str(PurePosixPath(place).parent)
        return f"[{link[1]}]({relpath(inside, start)}{link[3] or ''})"

    return _LINK.sub(redirected, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Let long names in tables break after their dots, so that the tables fit."""
    return _NAME_IN_CELL.sub(lambda name: name[0].replace(".", ".<wbr>"), html)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Warn, which fails the strict build, of what a page would load from another host."""
    for address in _LOADED.findall(output):
        logger.warning("%s loads %s", page.file.src_uri, address)
    return output
