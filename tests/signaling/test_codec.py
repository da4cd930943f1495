"""Reading and writing messages: whatever comes in is a message or a MessageError."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec import UNSET, Raw, structs

from icefloe.signaling import (
    Bye,
    Candidate,
    ClientMessage,
    CloseRoom,
    Description,
    Done,
    Error,
    ErrorCode,
    HandOver,
    IceCandidate,
    IceServer,
    Join,
    Joined,
    Leave,
    Lock,
    Message,
    MessageError,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerMessage,
    PeerRights,
    Remove,
    RoomLocked,
    ServerMessage,
    SessionDescription,
)
from icefloe.signaling.codec import (
    CLIENT_LIMIT,
    DEPTH_LIMIT,
    DESCRIPTION_LIMIT,
    SERVER_LIMIT,
    decode_client,
    decode_server,
    encode_client,
    encode_server,
    is_of_unknown_type,
)

# Text that is valid Unicode, and labels without control characters.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
labels = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
refs = st.one_of(
    st.just(UNSET),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=64),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
)
seqs = st.one_of(st.just(UNSET), st.integers(1, 2**53))
acks = st.one_of(st.just(UNSET), st.integers(0, 2**53))
anything = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(10**30, 10**40),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
candidates = st.one_of(
    st.none(),
    st.builds(
        IceCandidate,
        candidate=texts,
        sdpMid=texts,
        sdpMLineIndex=st.one_of(st.none(), st.integers(0, 65535)),
        usernameFragment=st.one_of(st.none(), texts),
    ),
)
descriptions = st.builds(SessionDescription, type=st.sampled_from(["offer", "answer"]), sdp=texts)
peers = st.builds(PeerInfo, id=ids, name=labels, away=st.booleans())
servers = st.builds(
    IceServer,
    urls=st.one_of(texts, st.lists(texts, max_size=3)),
    username=st.one_of(st.none(), texts),
    credential=st.one_of(st.none(), texts),
)

client_messages: st.SearchStrategy[ClientMessage] = st.one_of(
    st.builds(
        Join,
        room=labels,
        name=labels,
        token=st.one_of(st.just(UNSET), texts),
        resume=st.one_of(st.just(UNSET), texts),
        ack=acks,
        ref=refs,
    ),
    st.builds(Description, to=ids, description=descriptions, ref=refs, seq=seqs),
    st.builds(Candidate, to=ids, candidate=candidates, ref=refs, seq=seqs),
    st.builds(Message, to=ids, data=anything, ref=refs, seq=seqs),
    st.builds(Bye, to=ids, ref=refs, seq=seqs),
    st.builds(Leave, ref=refs),
    st.builds(Remove, to=ids, ref=refs),
    st.builds(Lock, locked=st.booleans(), ref=refs),
    st.builds(CloseRoom, ref=refs),
    st.builds(HandOver, to=ids, ref=refs),
)
server_messages: st.SearchStrategy[ServerMessage] = st.one_of(
    st.builds(
        Joined,
        id=ids,
        peers=st.lists(peers, max_size=3),
        resume=texts,
        iceServers=st.lists(servers, max_size=3),
        expires=st.one_of(st.just(UNSET), st.integers(0, 2**53)),
        ack=acks,
    ),
    st.builds(PeerJoined, peer=peers),
    st.builds(PeerAway, id=ids),
    st.builds(PeerBack, id=ids),
    st.builds(PeerGone, id=ids, reason=st.sampled_from(["left", "timeout", "removed"])),
    st.builds(PeerRights, id=ids, may=st.lists(texts, max_size=3).map(tuple)),
    st.builds(RoomLocked, locked=st.booleans()),
    st.builds(Done, ref=refs),
    st.builds(PeerDescription, from_=ids, description=descriptions, seq=seqs),
    st.builds(PeerCandidate, from_=ids, candidate=candidates, seq=seqs),
    st.builds(PeerMessage, from_=ids, data=anything, seq=seqs),
    st.builds(PeerBye, from_=ids, seq=seqs),
    st.builds(Error, code=texts, message=texts, ref=refs),
)


def with_data(message: ClientMessage) -> ClientMessage:
    """Return the message with its data as a value instead of as JSON."""
    if isinstance(message, Message):
        return structs.replace(message, data=json.loads(bytes(message.data)))
    return message


@given(client_messages)
def test_what_a_client_writes_a_server_reads(message: ClientMessage) -> None:
    assert with_data(decode_client(encode_client(message))) == message


@given(server_messages)
def test_what_a_server_writes_a_client_reads(message: ServerMessage) -> None:
    assert decode_server(encode_server(message)) == message


@given(client_messages)
def test_text_and_bytes_are_read_alike(message: ClientMessage) -> None:
    encoded = encode_client(message)
    assert with_data(decode_client(encoded.decode())) == with_data(decode_client(encoded))


# ---- what goes over the wire -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (Join(room="lobby", name="bob"), {"version": 1, "room": "lobby", "name": "bob"}),
        (
            Join(room="lobby", name="bob", token="t", resume="r", ack=0, ref="j"),
            {"version": 1, "room": "lobby", "name": "bob", "token": "t", "resume": "r"}
            | {"ack": 0, "ref": "j"},
        ),
        (
            Description("p3", SessionDescription("offer", "v=0")),
            {"to": "p3", "description": {"type": "offer", "sdp": "v=0"}},
        ),
        (Candidate("p3"), {"to": "p3", "candidate": None}),
        (
            Candidate("p3", IceCandidate("", sdpMid="0"), seq=4),
            {"to": "p3", "candidate": {"candidate": "", "sdpMid": "0"}, "seq": 4},
        ),
        (
            Candidate("p3", IceCandidate("candidate:1", sdpMLineIndex=0, usernameFragment="u")),
            {
                "to": "p3",
                "candidate": {
                    "candidate": "candidate:1",
                    "sdpMLineIndex": 0,
                    "usernameFragment": "u",
                },
            },
        ),
        (Message("p3", None), {"to": "p3", "data": None}),
        (Message("p3", [1, "é"], ref=7), {"to": "p3", "data": [1, "é"], "ref": 7}),
        (Bye("p3"), {"to": "p3"}),
        (Leave(), {}),
        (Remove("p3"), {"to": "p3"}),
        (Lock(True), {"locked": True}),
        (CloseRoom(ref=1), {"ref": 1}),
        (HandOver("p3"), {"to": "p3"}),
    ],
)
def test_a_client_message_looks_as_specified(message: ClientMessage, wire: dict[str, Any]) -> None:
    types = {Join: "join", Description: "description", Candidate: "candidate"}
    types |= {Message: "message", Bye: "bye", Leave: "leave", Remove: "remove", Lock: "lock"}
    types |= {CloseRoom: "close-room", HandOver: "hand-over"}
    assert json.loads(encode_client(message)) == {"type": types[type(message)], **wire}


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (
            Joined("p7", [PeerInfo("p3", "bob")], "s", [IceServer("stun:s")], 5, 2),
            {
                "type": "joined",
                "id": "p7",
                "peers": [{"id": "p3", "name": "bob", "away": False}],
                "resume": "s",
                "iceServers": [{"urls": "stun:s"}],
                "expires": 5,
                "ack": 2,
            },
        ),
        (
            PeerJoined(PeerInfo("p7", "alice")),
            {"type": "peer-joined", "peer": {"id": "p7", "name": "alice", "away": False}},
        ),
        (PeerAway("p7"), {"type": "peer-away", "id": "p7"}),
        (PeerBack("p7"), {"type": "peer-back", "id": "p7"}),
        (PeerRights("p7", ("send",)), {"type": "rights", "id": "p7", "may": ["send"]}),
        (RoomLocked(True), {"type": "room-locked", "locked": True}),
        (Done("r"), {"type": "done", "ref": "r"}),
        (
            PeerJoined(PeerInfo("p7", "a", may=("moderate",))),
            {
                "type": "peer-joined",
                "peer": {"id": "p7", "name": "a", "away": False, "may": ["moderate"]},
            },
        ),
        (PeerGone("p7", "left"), {"type": "peer-left", "id": "p7", "reason": "left"}),
        (
            PeerDescription("p7", SessionDescription("answer", "v=0"), 1),
            {
                "type": "description",
                "from": "p7",
                "description": {"type": "answer", "sdp": "v=0"},
                "seq": 1,
            },
        ),
        (
            PeerCandidate("p7", None, 2),
            {"type": "candidate", "from": "p7", "candidate": None, "seq": 2},
        ),
        (
            PeerMessage("p7", {"a": 1}, 3),
            {"type": "message", "from": "p7", "data": {"a": 1}, "seq": 3},
        ),
        (PeerBye("p7"), {"type": "bye", "from": "p7"}),
        (
            Error("bad-message", "No.", "r"),
            {"type": "error", "code": "bad-message", "message": "No.", "ref": "r"},
        ),
    ],
)
def test_a_server_message_looks_as_specified(message: ServerMessage, wire: dict[str, Any]) -> None:
    assert json.loads(encode_server(message)) == wire


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        ("", None),
        (',"candidate":null', None),
        (',"candidate":{"candidate":""}', IceCandidate("")),
        (',"candidate":{"candidate":"","sdpMid":"0"}', IceCandidate("", sdpMid="0")),
        (',"candidate":{"candidate":"c","sdpMid":"0"}', IceCandidate("c", sdpMid="0")),
        (',"candidate":{"candidate":"c","sdpMLineIndex":1}', IceCandidate("c", sdpMLineIndex=1)),
        (
            ',"candidate":{"candidate":"c","sdpMid":null,"sdpMLineIndex":0,"foundation":"1"}',
            IceCandidate("c", sdpMLineIndex=0),
        ),
    ],
)
def test_candidates_and_their_end_are_read(candidate: str, expected: IceCandidate | None) -> None:
    message = decode_client(f'{{"type":"candidate","to":"p3"{candidate}}}')
    assert message == Candidate("p3", expected)


def test_unknown_fields_are_ignored() -> None:
    assert decode_client('{"type":"bye","new":{"deep":[1]},"to":"p3"}') == Bye("p3")


@pytest.mark.parametrize(
    "data", ["1" * 40, "-0", "1.10", "1e-400", '"\\u00e9\\ud83d\\ude00"', '{"a":1,"a":2}', " [ 1 ]"]
)
def test_data_is_handed_on_byte_by_byte(data: str) -> None:
    message = decode_client(f'{{"type":"message","to":"p3","data":{data}}}')
    assert isinstance(message, Message)
    assert isinstance(message.data, Raw)
    handed_on = encode_server(PeerMessage("p7", message.data))
    assert handed_on == f'{{"type":"message","from":"p7","data":{data.strip()}}}'.encode()


# ---- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "hello",
        "null",
        "[]",
        '"join"',
        "{}",
        '{"type":null}',
        '{"type":"dance"}',
        '{"type":["join"]}',
        '{"type":"bye"}',
        '{"type":"bye","to":7}',
        '{"type":"bye","to":""}',
        '{"type":"bye","to":"p3"',
        '{"type":"bye","to":"p3"}}',
        "{'type':'bye','to':'p3'}",
        '\ufeff{"type":"bye","to":"p3"}',
        '{"type":"bye","to":"\ud800"}',
        '{"type":"bye","to":"\\ud800"}',
        '{"type":"bye","to":"p\n3"}',
        b'{"type":"bye","to":"\xff"}',
        '{"type":"bye","to":"p3","ref":[]}',
        '{"type":"bye","to":"p3","ref":"' + "x" * 65 + '"}',
        '{"type":"bye","to":"p3","ref":' + "9" * 30 + "}",
        '{"type":"bye","to":"p3","seq":0}',
        '{"type":"bye","to":"p3","seq":-1}',
        '{"type":"bye","to":"p3","seq":1.5}',
        '{"type":"message","to":"p3"}',
        '{"type":"message","to":"p3","data":NaN}',
        '{"type":"message","to":"p3","data":1e400}',
        '{"type":"message","to":"p3","data":' + "1" * 5000 + "}",
        '{"type":"message","to":"p3","data":01}',
        '{"type":"description","to":"p3","description":{"type":"rollback","sdp":""}}',
        '{"type":"description","to":"p3","description":{"type":"offer"}}',
        '{"type":"description","to":"p3","description":"v=0"}',
        '{"type":"candidate","to":"p3","candidate":"candidate:1"}',
        '{"type":"candidate","to":"p3","candidate":{"candidate":"c"}}',
        '{"type":"candidate","to":"p3","candidate":{"candidate":"c","sdpMLineIndex":65536}}',
        '{"type":"candidate","to":"p3","candidate":{"sdpMid":"0"}}',
        '{"type":"join","version":1,"room":"","name":"bob"}',
        '{"type":"join","version":1,"room":"lobby","name":"' + "x" * 65 + '"}',
        '{"type":"join","version":1,"room":"lobby","name":"a\\u0000"}',
        '{"type":"join","version":1,"room":"lobby\\n","name":"bob"}',
        '{"type":"join","version":1,"room":"lobby","name":"a\\u0085"}',
        '{"type":"join","version":"1","room":"lobby","name":"bob"}',
        '{"type":"join","room":"lobby"}',
    ],
)
def test_what_is_no_message_is_refused_with_a_sentence(frame: str | bytes) -> None:
    with pytest.raises(MessageError) as caught:
        decode_client(frame)
    assert caught.value.code is ErrorCode.BAD_MESSAGE
    assert caught.value.reason.endswith((".", "…."))
    assert len(caught.value.reason) < 300


def test_another_version_is_told_apart_even_if_its_join_looks_different() -> None:
    for frame in (
        '{"type":"join","version":2,"room":"lobby","name":"bob","ref":"j"}',
        '{"type":"join","version":2,"where":{},"ref":"j"}',
    ):
        with pytest.raises(MessageError) as caught:
            decode_client(frame)
        assert (caught.value.code, caught.value.ref) == (ErrorCode.VERSION, "j")


@pytest.mark.parametrize("ref", ["r", 7, 1.5, None])
def test_a_refusal_carries_the_ref(ref: object) -> None:
    with pytest.raises(MessageError) as caught:
        decode_client(json.dumps({"type": "bye", "ref": ref}))
    assert caught.value.ref == ref


def nested(depth: int, opening: str = "[", closing: str = "]") -> str:
    levels = opening * depth + '"[{"' + closing * depth
    return f'{{"type":"message","to":"p3","data":{levels}}}'


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_nesting_is_limited(opening: str, closing: str) -> None:
    levels = (DEPTH_LIMIT - 1) // len(closing)
    assert isinstance(decode_client(nested(levels, opening, closing)), Message)
    with pytest.raises(MessageError, match="64 levels"):
        decode_client(nested(levels + 1, opening, closing))


@pytest.mark.parametrize(
    "data",
    [
        "[" * 30000 + "]" * 30000,
        "[" * 60000,
        '"' + '\\"' * 30000,
        '["' + "[" * 30000 + '",' + "[" * 100,
        "[" + "{}," * 20000 + "1]" + "]" * 100,
    ],
)
def test_nonsense_made_to_be_expensive_is_refused(data: str) -> None:
    with pytest.raises(MessageError):
        decode_client(f'{{"type":"message","to":"p3","data":{data}')


def test_much_side_by_side_is_not_deep() -> None:
    data = "[" + "[[]]," * 10000 + '{"[[[":"]]]"}]'
    assert isinstance(decode_client(f'{{"type":"message","to":"p3","data":{data}}}'), Message)


def test_sizes_are_limited_in_bytes() -> None:
    filler = CLIENT_LIMIT - len('{"type":"message","to":"p3","data":""}')
    largest = '{"type":"message","to":"p3","data":"' + "x" * filler + '"}'
    assert isinstance(decode_client(largest), Message)
    with pytest.raises(MessageError, match="65537 bytes"):
        decode_client(largest + " ")
    with pytest.raises(MessageError, match="bytes"):
        decode_client(largest.replace("x" * 40000, "é" * 40000))
    with pytest.raises(MessageError, match="bytes"):
        decode_server("x" * (SERVER_LIMIT + 1))


def test_descriptions_may_be_larger_than_other_messages() -> None:
    bare = Description("p3", SessionDescription("offer", ""))
    room = DESCRIPTION_LIMIT - len(encode_client(bare))
    largest = Description("p3", SessionDescription("offer", "x" * room))
    assert decode_client(encode_client(largest)) == largest
    with pytest.raises(MessageError, match="262145 bytes; at most 262144"):
        encode_client(Description("p3", SessionDescription("offer", "x" * (room + 1))))
    for other in (Message("p3", "x" * room), Candidate("p3", IceCandidate("x" * room, "0"))):
        with pytest.raises(MessageError, match="at most 65536"):
            encode_client(other)


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_noise_is_never_another_error(frame: str | bytes) -> None:
    for decode in (decode_client, decode_server):
        with pytest.raises(MessageError):
            decode(frame)
    assert is_of_unknown_type(frame) is False


json_texts = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
).map(json.dumps)


@given(json_texts)
def test_any_json_is_a_message_or_an_error(frame: str) -> None:
    for decode in (decode_client, decode_server):
        with pytest.raises(MessageError):
            decode(frame)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    encoded = bytearray(encode_client(draw(client_messages)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(encoded) - 1))
        match draw(st.sampled_from(["change", "insert", "delete", "repeat"])):
            case "change":
                encoded[at] = draw(st.integers(0, 255))
            case "insert":
                encoded[at:at] = draw(st.binary(min_size=1, max_size=4))
            case "delete":
                del encoded[at : at + draw(st.integers(1, max(1, min(8, len(encoded) - 1))))]
            case "repeat":
                encoded[at:at] = encoded[at : at + 20]
        if not encoded:
            break
    return bytes(encoded)


@settings(max_examples=500)
@given(mutated())
def test_a_damaged_message_is_a_message_or_an_error(frame: bytes) -> None:
    try:
        message = decode_client(frame)
    except MessageError as error:
        assert error.code in (ErrorCode.BAD_MESSAGE, ErrorCode.VERSION)
    else:
        # What is taken can be handed on, and others can read it.
        if isinstance(message, Message):
            try:
                frame.decode()
            except UnicodeDecodeError:
                return  # a WebSocket text frame is valid UTF-8 (RFC 6455 section 8.1)
            decode_server(encode_server(PeerMessage("p7", message.data)))


# ---- what cannot be sent -----------------------------------------------------------------------


def circle() -> list[Any]:
    one: list[Any] = []
    one.append(one)
    return one


@pytest.mark.parametrize(
    "message",
    [
        Message("p3", float("nan")),
        Message("p3", float("inf")),
        Message("p3", b"bytes"),
        Message("p3", object()),
        Message("p3", {(1, 2): 3}),
        Message("p3", "\ud800"),
        Message("p3", circle()),
        Message("p3", 10**5000),
        Message("p3", "x" * CLIENT_LIMIT),
        Message("p3", json.loads("[" * 64 + "]" * 64)),
        Message("", 1),
        Bye("p" * 65),
        Candidate("p3", IceCandidate("c", sdpMid="\ud800")),
        Join(room="", name="bob"),
        Join(room="lobby", name="a\x07"),
    ],
)
def test_what_cannot_be_sent_is_told_to_the_sender(message: ClientMessage) -> None:
    with pytest.raises(MessageError):
        encode_client(message)


def test_types_of_newer_servers_are_told_apart_from_nonsense() -> None:
    assert is_of_unknown_type('{"type":"weather","rain":true}')
    assert not is_of_unknown_type('{"type":"peer-left"}')
    assert not is_of_unknown_type('{"type":7}')
    assert not is_of_unknown_type("{")


def test_secrets_are_not_in_what_is_printed() -> None:
    join = Join(room="lobby", name="bob", token="SECRET", resume="SECRET")
    joined = Joined("p7", [], "SECRET", [IceServer("turn:t", "u", "SECRET")])
    assert "SECRET" not in f"{join} {joined} {joined.iceServers}"


@pytest.mark.parametrize("field", ["id", "name"])
@pytest.mark.parametrize("message", ["joined", "peer-joined"])
def test_a_server_cannot_make_a_client_keep_names_of_any_length(message: str, field: str) -> None:
    peer = {"id": "p3", "name": "bob"}
    for length, is_right in ((64, True), (65, False), (900_000, False)):
        peer[field] = "x" * length
        told = {"type": message, "id": "p7", "resume": "s", "peers": [peer], "peer": peer}
        if is_right:
            decode_server(json.dumps(told))
            continue
        with pytest.raises(MessageError):
            decode_server(json.dumps(told))
