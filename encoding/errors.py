"""The errors of encoding."""


class EncodingError(Exception):
    """The root of the errors of encoding."""


class UnusablePicture(EncodingError, ValueError):
    """A picture cannot be converted into what is encoded, stored or shown.

    The next one may be of use: whoever takes pictures counts this one and goes on. The error of
    FFmpeg, if there was one, is the ``__cause__``.

    Attributes:
        picture: Format, size, matrix and range of the picture, such as
            ``"yuv420p 640x480 matrix 14"``.
        wanted: What it was to become, likewise.
        reason: What is wrong with it.
    """

    def __init__(self, picture: str, wanted: str, reason: str) -> None:
        self.picture = picture
        self.wanted = wanted
        self.reason = reason
        super().__init__(
            f"a picture ({picture}) cannot be made {wanted}: {reason}; "
            "give another pixel format or matrix, such as yuv420p in BT.601 or BT.709"
        )
