"""Access to buffer objects, such as ``bytes``, ``array.array`` and NumPy arrays, without NumPy."""

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..errors import InvalidParameter

if TYPE_CHECKING:
    from typing_extensions import Buffer

    class _Array(Protocol):
        # NumPy's type stubs declare the buffer protocol only from Python 3.12 on.
        @property
        def __array_interface__(self) -> dict[str, Any]: ...

    ArrayData: TypeAlias = Buffer | _Array
else:
    ArrayData = Any


def view_of(data: Any, name: str) -> tuple[memoryview, tuple[int, ...]]:
    """Return a view of a buffer, and its shape.

    Args:
        data: An object with a buffer.
        name: Name of the parameter, for the error.

    Raises:
        InvalidParameter: The object has no buffer.
    """
    try:
        view = memoryview(data)
    except (TypeError, ValueError) as exc:
        raise InvalidParameter(name, type(data).__name__, "give an array or bytes") from exc
    return view, view.shape or ()


def flat(view: memoryview) -> memoryview:
    """Return the bytes of a view, copied only if they are not contiguous."""
    return view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
