"""NumPy is an extra: whoever only sends and receives media does not need it."""

from ..errors import MissingDependency


def require_numpy(user: str) -> None:
    """Make sure that NumPy can be imported.

    Args:
        user: What needs it, for the sentence of the error.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import numpy  # noqa: F401
    except ImportError as exc:
        raise MissingDependency(user, "numpy", "icefloe[numpy]") from exc
