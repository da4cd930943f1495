"""The specification says what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest

from icefloe.signaling import ClientMessage, CloseCode, ErrorCode, LeftReason, ServerMessage
from icefloe.signaling.codec import (
    CLIENT_LIMIT,
    DESCRIPTION_LIMIT,
    SERVER_LIMIT,
    decode_client,
    decode_server,
)

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text()
EXCHANGE = re.search(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)
assert EXCHANGE is not None
LINES = re.findall(r"^\w+ +([<>]) (\{.*?\})$", EXCHANGE[1].replace("\n         ", ""), re.MULTILINE)


@pytest.mark.parametrize(("direction", "frame"), LINES)
def test_each_message_of_the_example_is_valid(direction: str, frame: str) -> None:
    if direction == ">":
        decode_client(frame)
    else:
        decode_server(frame)


def test_the_example_has_been_found() -> None:
    assert len(LINES) >= 10


def test_every_message_error_and_reason_is_specified() -> None:
    messages = {*get_args(ClientMessage), *get_args(ServerMessage)}
    types = {str(message.__struct_config__.tag) for message in messages}
    for word in (*types, *ErrorCode, *LeftReason):
        assert f"`{word}`" in DOCUMENT, word


def test_every_close_code_is_specified() -> None:
    for code in CloseCode:
        assert re.search(rf"^\| (\d+, )?{code.value}\b", DOCUMENT, re.MULTILINE), code


def test_the_limits_are_those_of_the_code() -> None:
    for limit in (CLIENT_LIMIT, DESCRIPTION_LIMIT, SERVER_LIMIT):
        assert f"{limit:,}".replace(",", " ") in DOCUMENT
