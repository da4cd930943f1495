"""The corpus: inputs that did harm once, each a file with its reason beside it."""

import hashlib
from pathlib import Path

from .oracle import Finding

FOLDER = Path(__file__).parent / "corpus"


def load(target: str, folder: Path = FOLDER) -> dict[str, bytes]:
    """Return the inputs of a target, by the names of their files."""
    files = sorted((folder / target).glob("*"))
    return {path.name: path.read_bytes() for path in files if path.suffix == ""}


def write(finding: Finding, folder: Path = FOLDER) -> Path:
    """Write a finding; return the path of its file."""
    path = folder / finding.target / hashlib.sha256(finding.data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(finding.data)
    path.with_suffix(".txt").write_text(f"{finding.kind}: {finding.reason} ({finding.place})\n")
    return path
