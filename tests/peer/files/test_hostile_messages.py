"""Messages of a transfer that no sane program sends: each is refused with the error for it."""

from collections.abc import Callable

import pytest

from icefloe.peer.files.errors import TransferErrorCode, TransferFailed
from icefloe.peer.files.protocol import MESSAGE_LIMIT, decode_from_receiver, decode_from_sender

DEEP = [
    '{"type":"entries","entries":' + "[" * 5000,
    '{"type":"entries","entries":[' + '{"x":[' * 5000,
    '{"x":' * (MESSAGE_LIMIT // 5),
    "[" * MESSAGE_LIMIT,
]


@pytest.mark.parametrize("decode", [decode_from_sender, decode_from_receiver])
@pytest.mark.parametrize("message", DEEP, ids=["list", "entries", "objects", "bare"])
def test_what_is_nested_without_end_is_no_message(
    decode: Callable[[str], object], message: str
) -> None:
    with pytest.raises(TransferFailed) as caught:
        decode(message)
    assert caught.value.code == TransferErrorCode.PROTOCOL
