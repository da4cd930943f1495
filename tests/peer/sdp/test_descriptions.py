"""Descriptions as other stacks write them, and what is left of them when something goes wrong.

Those in the folder ``descriptions`` are written by hand, by the grammar and by what each stack puts
into its own; answers are to an offer of audio, video and data with the mids 0, 1 and 2.
"""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from aiortc import InvalidStateError, RTCSessionDescription
from aiortc.exceptions import OperationError
from hypothesis import HealthCheck, given, settings, strategies as st

from icefloe.peer import InvalidDescription, PeerConnection
from icefloe.peer.sdp import read
from tests.helpers.pairs import closing

FOLDER = Path(__file__).with_name("descriptions")
OFFERS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*-offer.sdp"))}
ANSWERS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*-answer.sdp"))}

ANSWERED = {
    "asterisk-offer": "audio video",
    "chromium-offer": "audio video application",
    "chromium-simulcast-offer": "video",
    "firefox-offer": "audio video application",
    "freeswitch-offer": "audio",
    "gstreamer-offer": "video audio application",
    "janus-offer": "audio video application",
    "libdatachannel-offer": "application",
    "mediasoup-offer": "audio video application",
    "old-chromium-data-offer": "application",
    "old-firefox-data-offer": "application",
    "pion-offer": "video audio application",
    "safari-offer": "audio video",
    "sip-gateway-offer": "audio -video -audio -application -image -text -message",
}
"""The sections of the answer to each offer; a rejected one has a minus."""

ACCEPTED = {
    "chromium-answer": "audio -video application",
    "firefox-answer": "-audio video application",
    "freeswitch-answer": "audio -video -application",
    "janus-answer": "audio -video -application",
    "libdatachannel-answer": "-audio -video application",
    "pion-answer": "audio video application",
}

DOCUMENTED = (InvalidDescription, InvalidStateError, OperationError)
"""The errors that ``setRemoteDescription`` documents."""

GOOD = OFFERS["libdatachannel-offer"]


def sections(text: str) -> str:
    """Tell which sections a description has, and which of them it rejects."""
    found = re.findall(r"^m=(\S+) (\d+) ", text, re.MULTILINE)
    return " ".join(kind if int(port) else f"-{kind}" for kind, port in found)


def of_type(text: str, kind: str) -> RTCSessionDescription:
    return RTCSessionDescription(text.replace("\n", "\r\n"), kind)


def bundled(text: str) -> list[str]:
    return [mid for group in re.findall(r"a=group:BUNDLE (.*)\r", text) for mid in group.split()]


def test_there_is_a_word_about_every_description() -> None:
    assert OFFERS.keys() == ANSWERED.keys()
    assert ANSWERS.keys() == ACCEPTED.keys()


# --- offers


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", OFFERS)
async def test_an_offer_is_answered_as_far_as_it_can_be_used(name: str, end: str) -> None:
    python = PeerConnection()
    async with closing(python):
        offer = RTCSessionDescription(OFFERS[name].replace("\n", end), "offer")
        await python.setRemoteDescription(offer)
        await python.setLocalDescription()
        answer = python.localDescription.sdp
        assert sections(answer) == ANSWERED[name]
        assert python.signalingState == "stable"
        mids = re.findall(r"a=mid:(\S+)", answer)
        assert mids == re.findall(r"a=mid:(\S+)", OFFERS[name])
        assert set(bundled(answer)) <= set(mids)
        assert re.findall(r"^m=\S+ \d+ (\S+)", answer, re.MULTILINE) == [
            protocol.upper()
            for protocol in re.findall(r"^m=\S+ \d+ (\S+)", OFFERS[name], re.MULTILINE)
        ]
        assert "a=group:BUNDLE\r" not in answer


@pytest.mark.parametrize("name", OFFERS)
async def test_an_offer_can_be_made_again_and_from_here(name: str) -> None:
    python = PeerConnection()
    async with closing(python):
        for _ in range(2):
            await python.setRemoteDescription(of_type(OFFERS[name], "offer"))
            await python.setLocalDescription()
        assert sections(python.localDescription.sdp) == ANSWERED[name]
        python.addTransceiver("video")
        python.negotiate_data_channels()
        own = (await python.createOffer()).sdp
        kinds = [kind.strip("-") for kind in ANSWERED[name].split()]
        assert [kind.strip("-") for kind in sections(own).split()][: len(kinds)] == kinds
        assert sections(own).startswith(ANSWERED[name])
        assert read(own).sections[-1].kind in ("application", "video")


@pytest.mark.parametrize("name", OFFERS)
async def test_an_offer_can_be_taken_back(name: str) -> None:
    python = PeerConnection()
    async with closing(python):
        await python.setRemoteDescription(of_type(OFFERS[name], "offer"))
        await python.setRemoteDescription(RTCSessionDescription("", "rollback"))
        assert python.signalingState == "stable"
        assert python.getTransceivers() == []
        await python.setRemoteDescription(of_type(GOOD, "offer"))
        await python.setLocalDescription()
        assert sections(python.localDescription.sdp) == "application"


# --- answers


async def offering() -> PeerConnection:
    python = PeerConnection()
    python.addTransceiver("audio")
    python.addTransceiver("video")
    python.createDataChannel("x")
    await python.setLocalDescription()
    return python


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_is_applied(name: str) -> None:
    python = await offering()
    channels: list[str] = []
    async with closing(python):
        assert python.sctp is not None
        (channel,) = python.sctp.channels  # type: ignore[attr-defined]
        channel.on("close", lambda: channels.append(channel.readyState))
        await python.setRemoteDescription(of_type(ANSWERS[name], "answer"))
        assert python.signalingState == "stable"
        accepted = ACCEPTED[name].split()
        stopped = {t.kind for t in python.getTransceivers() if t.stopped}
        assert stopped == {word[1:] for word in accepted if word in ("-audio", "-video")}
        if "-application" in accepted:
            assert channel.readyState == "closed"
            assert channels == ["closed"]
            assert python.sctp is None
        else:
            assert channel.readyState == "connecting"
        # What was rejected stays so, at its place.
        assert sections((await python.createOffer()).sdp) == ACCEPTED[name]


async def test_data_channels_begin_anew_after_they_were_rejected() -> None:
    python = await offering()
    async with closing(python):
        await python.setRemoteDescription(of_type(ANSWERS["janus-answer"], "answer"))
        python.createDataChannel("again")
        offer = (await python.createOffer()).sdp
        assert sections(offer) == "audio -video -application application"
        assert re.findall(r"a=mid:(\S+)", offer)[-1] == "3"


# --- what is no description, or does not fit

MALFORMED = {
    "nothing": "",
    "no SDP at all": "<html>404</html>",
    "binary": "\x00\x01\xff\u2028\ud800",
    "no version": GOOD.replace("v=0\n", ""),
    "another version": GOOD.replace("v=0", "v=1"),
    "a line that is none": GOOD.replace("s=-", "hello"),
    "ten megabytes": GOOD + "a=x\n" * 2_500_000,
    "a thousand sections": GOOD + "m=text 0 X 0\n" * 1000,
    "no fingerprint": re.sub("a=fingerprint.*\n", "", GOOD),
    "no ufrag": re.sub("a=ice-ufrag.*\n", "", GOOD),
    "no password": re.sub("a=ice-pwd.*\n", "", GOOD),
    "an unknown hash": GOOD.replace("sha-256 ", "sha3-256 "),
    "half a fingerprint": GOOD.replace("5B:5B:5B:", "5B:"),
    "a ufrag with a blank": GOOD.replace("ice-ufrag:", "ice-ufrag:a "),
    "an endless ufrag": GOOD.replace("ice-ufrag:", "ice-ufrag:" + "a" * 300),
    "an unknown role": GOOD.replace("setup:actpass", "setup:holdconn"),
    "a number of ports that is none": GOOD.replace("application 9", "application 9/0"),
    "a port that is none": GOOD.replace("application 9", "application 70000"),
    "a negative port": GOOD.replace("application 9", "application -9"),
    "no formats": OFFERS["freeswitch-offer"].replace(" 102 9 0 8 103 101", ""),
    "a format that is none": OFFERS["freeswitch-offer"].replace(" 102 9 ", " opus 9 "),
    "a format out of range": OFFERS["freeswitch-offer"].replace(" 102 9 ", " 128 9 "),
    "a format of many digits": OFFERS["freeswitch-offer"].replace(" 102 9 ", f" {'9' * 5000} 9 "),
    "a mid twice": OFFERS["pion-offer"].replace("a=mid:1", "a=mid:0"),
    "a mid with a blank": OFFERS["pion-offer"].replace("a=mid:1", "a=mid:1 2"),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_offer_is_refused_and_changes_nothing(text: str) -> None:
    python = PeerConnection()
    python.addTransceiver("audio")
    async with closing(python):
        with pytest.raises(InvalidDescription):
            await python.setRemoteDescription(RTCSessionDescription(text, "offer"))
        assert python.signalingState == "stable"
        assert python.remoteDescription is None
        await python.setRemoteDescription(of_type(GOOD, "offer"))
        await python.setLocalDescription()
        assert sections(python.localDescription.sdp) == "application"


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("kind", ["answer", "pranswer"])
async def test_a_malformed_answer_is_refused_and_changes_nothing(text: str, kind: str) -> None:
    python = await offering()
    async with closing(python):
        with pytest.raises(InvalidDescription):
            await python.setRemoteDescription(RTCSessionDescription(text, kind))
        assert python.signalingState == "have-local-offer"
        await python.setRemoteDescription(of_type(ANSWERS["chromium-answer"], "answer"))
        assert python.signalingState == "stable"


@pytest.mark.parametrize("given", [None, b"v=0\r\n", 5, ["v=0"]])
async def test_what_is_no_text_is_refused(given: object) -> None:
    python = PeerConnection()
    async with closing(python):
        with pytest.raises(InvalidDescription, match="not text"):
            await python.setRemoteDescription(RTCSessionDescription(given, "offer"))  # type: ignore[arg-type]


CHROMIUM = ANSWERS["chromium-answer"]
UNFIT = {
    "a section less": CHROMIUM[: CHROMIUM.index("m=application")],
    "a section more": CHROMIUM + CHROMIUM[CHROMIUM.index("m=application") :].replace(":2", ":3"),
    "another mid": CHROMIUM.replace("a=mid:0", "a=mid:7").replace("BUNDLE 0", "BUNDLE 7"),
    "another order": CHROMIUM.replace("a=mid:0", "a=mid:9")
    .replace("a=mid:1", "a=mid:0")
    .replace("a=mid:9", "a=mid:1"),
    "another kind": CHROMIUM.replace("m=audio", "m=video"),
    "no role": CHROMIUM.replace("setup:active", "setup:actpass"),
    "no rtcp-mux": CHROMIUM.replace("a=rtcp-mux\n", ""),
}


@pytest.mark.parametrize("text", UNFIT.values(), ids=UNFIT)
async def test_an_answer_to_another_offer_is_refused(text: str) -> None:
    python = await offering()
    async with closing(python):
        with pytest.raises(InvalidDescription):
            await python.setRemoteDescription(of_type(text, "answer"))
        assert python.signalingState == "have-local-offer"
        await python.setRemoteDescription(of_type(CHROMIUM, "answer"))
        assert python.signalingState == "stable"


async def test_an_answer_without_a_common_codec_is_refused() -> None:
    python = await offering()
    async with closing(python):
        text = CHROMIUM.replace("opus/48000/2", "lyra/16000")
        with pytest.raises(OperationError, match="no codec that both sides know"):
            await python.setRemoteDescription(of_type(text, "answer"))
        assert python.signalingState == "have-local-offer"
        await python.setRemoteDescription(of_type(CHROMIUM, "answer"))
        assert python.signalingState == "stable"


async def test_a_malformed_offer_does_not_take_the_own_one_back() -> None:
    python = await offering()
    async with closing(python):
        with pytest.raises(InvalidDescription):
            await python.setRemoteDescription(of_type("x", "offer"))
        assert python.signalingState == "have-local-offer"
        await python.setRemoteDescription(of_type(CHROMIUM, "answer"))
        assert python.signalingState == "stable"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: text.rindex("m=")],
        lambda text: text.replace("a=mid:0", "a=mid:9").replace("BUNDLE 0", "BUNDLE 9"),
        lambda text: text.replace("m=video 9", "m=audio 9"),
    ],
    ids=["fewer sections", "another mid", "another kind"],
)
async def test_a_later_offer_keeps_the_places_of_sections(change: Callable[[str], str]) -> None:
    python = PeerConnection()
    async with closing(python):
        offer = OFFERS["pion-offer"]
        await python.setRemoteDescription(of_type(offer, "offer"))
        await python.setLocalDescription()
        with pytest.raises(InvalidDescription):
            await python.setRemoteDescription(of_type(change(offer), "offer"))
        assert python.signalingState == "stable"
        await python.setRemoteDescription(of_type(offer, "offer"))
        await python.setLocalDescription()


async def test_a_provisional_answer_comes_before_the_answer() -> None:
    python = PeerConnection()
    async with closing(python):
        with pytest.raises(InvalidStateError):
            await python.setRemoteDescription(of_type(CHROMIUM, "pranswer"))
    python = await offering()
    async with closing(python):
        await python.setRemoteDescription(of_type(CHROMIUM, "pranswer"))
        assert python.signalingState == "have-remote-pranswer"
        with pytest.raises(InvalidStateError):
            await python.setRemoteDescription(of_type(GOOD, "offer"))
        await python.setRemoteDescription(of_type(CHROMIUM, "answer"))
        assert python.signalingState == "stable"


# --- anything


LINES = sorted({line for text in (OFFERS | ANSWERS).values() for line in text.splitlines()})


@st.composite
def varied(draw: st.DrawFn, corpus: dict[str, str]) -> str:
    """A description of the corpus with some of its lines changed."""
    lines = corpus[draw(st.sampled_from(sorted(corpus)))].splitlines()
    rng = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 6))):
        if not lines:
            break
        at = rng.randrange(len(lines))
        line = lines[at]
        match rng.randrange(9):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, line)
            case 2:
                lines.insert(at, rng.choice(LINES))
            case 3:
                other = rng.randrange(len(lines))
                lines[at], lines[other] = lines[other], line
            case 4:
                lines[at] = re.sub(r"\d+", lambda _: rng.choice(["0", "9" * 30, "-1", ""]), line)
            case 5:
                lines[at] = line[: rng.randrange(len(line) + 1)]
            case 6:
                place = rng.randrange(len(line) + 1)
                lines[at] = line[:place] + rng.choice(" :;/=,\t\x00é\u2028\ud83d*") + line[place:]
            case 7:
                lines[at] = line.partition(rng.choice(":= "))[0]
            case 8:
                lines[at] = line.upper() if rng.random() < 0.5 else line.lower()
    return draw(st.sampled_from(["\n", "\r\n", " \r\n", "\n\n"])).join([*lines, ""])


RELAXED = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def run(scenario: object) -> None:
    """Run a coroutine; whatever nobody has looked at fails the test."""
    lost: list[object] = []

    async def watched() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, c: lost.append(c.get("exception") or c["message"]))
        await scenario  # type: ignore[misc]

    asyncio.run(watched())
    assert lost == []


@RELAXED
@given(varied(OFFERS))
def test_any_offer_ends_in_an_answer_or_in_a_documented_error(text: str) -> None:
    async def scenario() -> None:
        python = PeerConnection()
        python.addTransceiver("video")
        async with closing(python):
            try:
                await python.setRemoteDescription(RTCSessionDescription(text, "offer"))
            except DOCUMENTED:
                assert python.signalingState == "stable"
                await python.setRemoteDescription(of_type(GOOD, "offer"))
            await python.setLocalDescription()
            assert python.signalingState == "stable"
            answer = python.localDescription.sdp
            assert "BUNDLE\r" not in answer
            # And it is a description that is understood again, in an offer as well.
            read(answer, answer=True)
            read((await python.createOffer()).sdp)

    run(scenario())


@RELAXED
@given(varied(ANSWERS))
def test_any_answer_is_applied_or_ends_in_a_documented_error(text: str) -> None:
    async def scenario() -> None:
        python = await offering()
        async with closing(python):
            try:
                await python.setRemoteDescription(RTCSessionDescription(text, "answer"))
            except DOCUMENTED:
                assert python.signalingState == "have-local-offer"
                await python.setRemoteDescription(of_type(CHROMIUM, "answer"))
            assert python.signalingState == "stable"
            read((await python.createOffer()).sdp)

    run(scenario())


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(LINES), st.text())).map("\n".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    for start in ("", "v=0\n"):
        try:
            read(start + text)
        except InvalidDescription as error:
            assert error.reason
