"""Check for NumPy, which recording and array readers need, where it was left out."""

from ..errors import MissingDependency


def require_numpy(user: str) -> None:
    """Check that NumPy can be imported.

    Args:
        user: Name of the feature that needs it, for the error.

    Raises:
        MissingDependency: NumPy is not installed.
    """
    try:
        import numpy  # noqa: F401
    except ImportError as exc:
        raise MissingDependency(user, "numpy", "numpy") from exc
