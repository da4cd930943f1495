"""Text helpers for well-formed descriptions: sections, mids and ICE username fragments."""

_END = "a=end-of-candidates"

TRICKLE = "trickle"
"""The ``ice-options`` token of RFC 8838 section 4.1."""


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at separators that an attribute may contain.
    return text.replace("\r\n", "\n").split("\n")


def sections_of(text: str) -> list[list[str]]:
    """Split a description into lists of lines: the session level, then each media section."""
    sections: list[list[str]] = [[]]
    for line in _lines(text):
        if line.startswith("m="):
            sections.append([])
        if line:
            sections[-1].append(line)
    return sections


def join(sections: list[list[str]]) -> str:
    """Join the lines of all sections into a description."""
    return "".join(f"{line}\r\n" for section in sections for line in section)


def without_end(text: str) -> str:
    """Remove ``a=end-of-candidates`` from a description."""
    return join([[line for line in section if line != _END] for section in sections_of(text)])


def _value(section: list[str], attribute: str, default: str = "") -> str:
    prefix = f"a={attribute}:"
    found = next((line for line in section if line.startswith(prefix)), prefix + default)
    return found[len(prefix) :].strip()


def mids(text: str) -> list[str]:
    """Return the mid of each media section; empty for a section without one."""
    return [_value(section, "mid") for section in sections_of(text)[1:]]


def fragments(text: str) -> set[str]:
    """Return the ICE username fragments in a description."""
    return set(fragments_by_mid(text).values())


def fragments_by_mid(text: str) -> dict[str, str]:
    """Return the ICE username fragments by mid; sections without one are left out.

    A fragment on the session level applies to all sections without their own (RFC 8839 section
    5.4).
    """
    session, *media = sections_of(text)
    default = _value(session, "ice-ufrag")
    found = {_value(section, "mid"): _value(section, "ice-ufrag", default) for section in media}
    return {mid: fragment for mid, fragment in found.items() if fragment}
