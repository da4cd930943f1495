"""Access to the name-mangled attributes of aiortc's objects."""

from typing import Any


class Private:
    """The attributes that an aiortc class keeps to itself, by the names that its code gives them.

    ``Private(connection, RTCPeerConnection)["isClosed"]`` is what aiortc writes as
    ``self.__isClosed``. :mod:`.names` checks at import that each name used is there.

    Args:
        owner: The object.
        cls: The class of aiortc whose code has the attribute.
    """

    __slots__ = ("_owner", "_prefix")

    def __init__(self, owner: object, cls: type) -> None:
        self._owner = owner
        self._prefix = f"_{cls.__name__}__"

    def __getitem__(self, name: str) -> Any:
        return getattr(self._owner, self._prefix + name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self._owner, self._prefix + name, value)
