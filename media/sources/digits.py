"""The digits of the test pattern: no drawing library, and no FFmpeg built with one, is needed."""

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

    A row is ``(GLYPH_WIDTH + 1) * scale`` bytes wide, the last column being the gap to the next
    character. Each row is to be drawn ``scale`` times.

    Args:
        scale: Pixels across one dot of the font.
        ink: Brightness of a dot.
        paper: Brightness of what is around it.
    """
    dot, blank = bytes([ink]) * scale, bytes([paper]) * scale
    return {
        character: tuple(
            b"".join(dot if mark == "#" else blank for mark in row) + blank for row in rows
        )
        for character, rows in _GLYPHS.items()
    }
