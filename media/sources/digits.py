"""Bitmap font for the digits of the test pattern, so that no drawing library is needed."""

GLYPH_WIDTH = 5
GLYPH_HEIGHT = 7

_GLYPHS = {
    "0": (" ### ", "#   #", "#  ##", "# # #", "##  #", "#   #", " ### "),
    "1": ("  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "),
    "2": (" ### ", "#   #", "    #", "   # ", "  #  ", " #   ", "#####"),
    "3": ("#####", "   # ", "  #  ", "   # ", "    #", "#   #", " ### "),
    "4": ("   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "),
    "5": ("#####", "#    ", "#### ", "    #", "    #", "#   #", " ### "),
    "6": ("  ## ", " #   ", "#    ", "#### ", "#   #", "#   #", " ### "),
    "7": ("#####", "    #", "   # ", "  #  ", " #   ", " #   ", " #   "),
    "8": (" ### ", "#   #", "#   #", " ### ", "#   #", "#   #", " ### "),
    "9": (" ### ", "#   #", "#   #", " ####", "    #", "   # ", " ##  "),
    ":": ("     ", "  #  ", "  #  ", "     ", "  #  ", "  #  ", "     "),
}


def scaled_glyphs(scale: int, *, ink: int, paper: int) -> dict[str, tuple[bytes, ...]]:
    """Return each character as seven rows of pixels, one byte each.

    A row is ``(GLYPH_WIDTH + 1) * scale`` bytes wide; its last column is the gap to the next
    character. Draw each row ``scale`` times.

    Args:
        scale: Pixels per dot of the font.
        ink: Luma of a dot.
        paper: Luma of the background.
    """
    dot, blank = bytes([ink]) * scale, bytes([paper]) * scale
    return {
        character: tuple(
            b"".join(dot if mark == "#" else blank for mark in row) + blank for row in rows
        )
        for character, rows in _GLYPHS.items()
    }
