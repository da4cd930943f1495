"""Errors of ``icefloe send`` and ``icefloe receive`` alone, which wait for the other side."""

from icefloe.peer import PairingError


class NobodyThere(PairingError):
    """The remote peer did not come to the rendezvous.

    Attributes:
        timeout: The seconds waited.
    """

    def __init__(self, timeout: float, *, is_sender: bool = False) -> None:
        self.timeout = timeout
        if is_sender:
            super().__init__(
                f"Nobody came for the files (waited {timeout:g} s). Start again and give the code "
                "to the other side; --wait sets how long to wait"
            )
        else:
            super().__init__(
                f"Nobody offers files under this code (waited {timeout:g} s). Is the sender still "
                "running, with the same server?"
            )


class SenderBusy(PairingError):
    """The sender is sending to another receiver that has the same code."""

    def __init__(self) -> None:
        super().__init__(
            "The sender is sending to another receiver with this code. A code is good for one: "
            "ask the sender to start again for you"
        )
