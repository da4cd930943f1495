"""The specification says what the code does."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from spake2 import SPAKE2_A, SPAKE2_B

from icefloe.peer.files import protocol
from icefloe.peer.files.errors import TransferErrorCode
from icefloe.peer.files.protocol import Data, decode_from_receiver, decode_from_sender
from icefloe.peer.files.receiver import Receiver, ReceiverState, Write
from icefloe.peer.files.sender import Sender, SenderState
from icefloe.peer.pairing.attempts import MAX_ATTEMPTS, MAX_PAUSE
from icefloe.peer.pairing.key_exchange import (
    Pairing,
    PairingCode,
    PairingMessage,
    PairingSide,
    Refused,
)
from icefloe.peer.pairing.meeting import MAX_GUESSES

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "files-protocol.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"^([SR]) > (.+)$", DOCUMENT, re.MULTILINE)


def told(row: str) -> str:
    found = re.search(rf"^\| {re.escape(row)} \| `([^`]+)`", DOCUMENT, re.MULTILINE)
    assert found, row
    return found[1]


def test_the_files_that_it_names_are_there() -> None:
    for name in re.findall(r"`(peer/[a-z_/]+\.py)`", DOCUMENT):
        assert (ROOT / name).exists(), name


def test_the_example_of_a_pairing_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    code = PairingCode.parse(told("code"))
    numbers = {SPAKE2_A: told("x"), SPAKE2_B: told("y")}

    def chosen(kind: Any) -> Any:
        # The library reduces 64 bytes, so a number below the order stays what it is.
        number = bytes(32) + bytes.fromhex(numbers[kind])
        return lambda password, **names: kind(password, entropy_f=lambda _: number, **names)

    monkeypatch.setattr("icefloe.peer.pairing.key_exchange.SPAKE2_A", chosen(SPAKE2_A))
    monkeypatch.setattr("icefloe.peer.pairing.key_exchange.SPAKE2_B", chosen(SPAKE2_B))
    sender, receiver = Pairing(code, PairingSide.SENDER), Pairing(code, PairingSide.RECEIVER)
    assert sender.pake.data == told("the sender's `pake`")
    assert receiver.pake.data == told("the receiver's `pake`")
    assert sender.receive(receiver.pake).mac == told("the sender's `confirm`")
    assert receiver.receive(sender.pake).mac == told("the receiver's `confirm`")
    assert sender._key == bytes.fromhex(told("key"))
    sdp = "a=fingerprint:sha-384 01:02\r\na=fingerprint:SHA-256 ab:cd\r\n"
    assert sender.sign(sdp).mac == told("the sender's signature of these")


def test_the_constants_of_the_group_are_right() -> None:
    spake = SPAKE2_A(told("code").encode())
    assert spake.params.M.to_bytes().hex() in DOCUMENT
    assert spake.params.N.to_bytes().hex() in DOCUMENT
    assert f"{spake.pw_scalar:064x}" == told("w")


def test_the_example_of_a_transfer_is_a_transfer() -> None:
    sender = Sender([protocol.Entry("hello.txt", 5, mode=420, mtime=17 * 10**17)], block=1000)
    receiver = Receiver()
    written = b""
    for side, line in EXAMPLE:
        if side == "R":
            message = decode_from_receiver(line)
            while sender.poll_step() is not None:
                pass
            sender.receive(message)
            if isinstance(message, protocol.Have):
                receiver.accept(message.kept)
            elif isinstance(message, protocol.Accept):
                sender.poll_step()
                sender.opened(0, kept_is_right=True)
            continue
        heard = decode_from_sender(line if line.startswith("{") else bytes.fromhex(line))
        receiver.receive(heard)
        while (step := receiver.poll_step()) is not None:
            if isinstance(step, Write):
                written += step.data
                receiver.written(step.index, step.offset + len(step.data))
        if isinstance(heard, Data):
            sender.poll_step()
            sender.poll_step()
            sender.read(heard.data, digest=protocol.new_hash().hexdigest())
        if isinstance(heard, protocol.Finish):
            receiver.completed()
    assert written == b"lo"
    assert receiver.state is ReceiverState.FINISHED
    assert sender.state is SenderState.FINISHED


def test_the_hashes_of_the_example_are_right() -> None:
    for text in (b"hel", b"hello"):
        digest = protocol.new_hash()
        digest.update(text)
        assert digest.hexdigest() in DOCUMENT


def test_every_message_failure_and_limit_is_specified() -> None:
    messages = {*get_args(protocol.FromSender), *get_args(protocol.FromReceiver)}
    for message in {*messages, *get_args(PairingMessage)}:
        assert f"`{message.__struct_config__.tag}`" in DOCUMENT
        for name in message.__struct_fields__:
            assert f"`{name}`" in DOCUMENT or f"`[{name}]`" in DOCUMENT, (message, name)
    for code in (*TransferErrorCode, *get_args(Refused.__annotations__["reason"])):
        assert f"`{code}`" in DOCUMENT, code
    assert f"`{protocol.PROTOCOL}`" in DOCUMENT
    limits = (protocol.WINDOW, protocol.BLOCK, protocol.ACK_EVERY, protocol.MESSAGE_LIMIT)
    for limit in (*limits, protocol.MAX_ENTRIES, protocol.MAX_OFFER_BYTES):
        assert f"{limit:,}".replace(",", " ") in DOCUMENT, limit
    assert str(protocol.FILE_COST) in DOCUMENT
    assert f"1 to {protocol.MAX_PATH_BYTES} bytes" in DOCUMENT
    assert f"with {protocol.ENTRY_COST} for each entry" in DOCUMENT
    assert f"in {MAX_ATTEMPTS} exchanges" in DOCUMENT
    assert f"{MAX_PAUSE:.0f} seconds at most" in DOCUMENT
    assert f"until there were {MAX_GUESSES}" in DOCUMENT
