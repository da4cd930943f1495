"""Sources are short, and their docstrings say in the first word what a thing is or does."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest

import icefloe

ROOT = Path(icefloe.__file__).parent
FILES = sorted(
    path for folder in (ROOT, *ROOT.iterdir()) if folder.is_dir() for path in folder.rglob("*.py")
)
PARTS = {path.resolve(): path for path in FILES}

MAX_LINES = 400
MAX_FUNCTION = 60
REASON = re.compile(r"^# Longer than 400 lines: .{20,}$", re.MULTILINE)

RIDDLE = re.compile(r"(What|Whether|Who|Whose|Which|How|When|Why|Where|By how|By which)\b")
"""Begins a relative clause, of which the reader has to guess the subject."""


@lru_cache(None)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, those of attributes included."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)  # that of a lambda is an expression
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(value=ast.Constant(value=str(text)), lineno=line):
                    yield line, text.strip()


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", PARTS.values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_docstring_begins_with_a_riddle(path: Path) -> None:
    found = [(line, text) for line, text in docstrings(parsed(path)) if RIDDLE.match(text)]
    assert found == []


def test_no_docstring_of_the_tests_begins_with_a_riddle() -> None:
    tests = Path(__file__).parents[1]
    found = [
        (str(path.relative_to(tests)), line, text)
        for path in sorted(tests.rglob("*.py"))
        if "node_modules" not in path.parts
        for line, text in docstrings(parsed(path))
        if RIDDLE.match(text)
    ]
    assert found == []


@pytest.mark.parametrize("path", PARTS.values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_is_longer_than_sixty_lines(path: Path) -> None:
    long = [
        (function.name, lines)
        for function in functions(parsed(path))
        if (lines := (function.end_lineno or 0) - function.lineno + 1) > MAX_FUNCTION
        # A docstring is no code.
        and lines - len((ast.get_docstring(function) or "").splitlines()) > MAX_FUNCTION
    ]
    assert long == []


def test_a_long_file_says_why() -> None:
    long = {
        str(path.relative_to(ROOT))
        for path in PARTS.values()
        if len((text := path.read_text(encoding="utf-8")).splitlines()) > MAX_LINES
        and not REASON.search(text)
    }
    assert long == set()
    assert len(PARTS) > 200
