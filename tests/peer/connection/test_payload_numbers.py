"""Payload types and extension ids that stay what a session agreed on."""

from copy import deepcopy
from itertools import chain

import pytest
from aiortc.codecs import CODECS, HEADER_EXTENSIONS, is_rtx
from aiortc.rtcpeerconnection import find_common_codecs, find_common_header_extensions
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters
from hypothesis import assume, given, strategies as st

from icefloe.peer.connection.payload_numbers import Numbering, payload_type

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"


def audio(name: str, number: int, clock: int = 8000, channels: int = 1) -> RTCRtpCodecParameters:
    return RTCRtpCodecParameters(f"audio/{name}", clock, channels, number)


def video(name: str, number: int, **parameters: str | int | None) -> RTCRtpCodecParameters:
    named: dict[str, str | int | None] = {k.replace("_", "-"): v for k, v in parameters.items()}
    return RTCRtpCodecParameters(f"video/{name}", 90000, None, number, parameters=named)


def rtx(number: int, apt: int) -> RTCRtpCodecParameters:
    return video("rtx", number, apt=apt)


def h264(number: int, profile: str, mode: str = "1") -> RTCRtpCodecParameters:
    return video("H264", number, packetization_mode=mode, profile_level_id=profile)


def extension(number: int, uri: str) -> RTCRtpHeaderExtensionParameters:
    return RTCRtpHeaderExtensionParameters(id=number, uri=uri)


CHROME_AUDIO = [
    audio("opus", 111, 48000, 2),
    audio("red", 63, 48000, 2),
    audio("G722", 9),
    audio("PCMU", 0),
    audio("PCMA", 8),
    audio("CN", 13),
    audio("telephone-event", 110, 48000),
    audio("telephone-event", 126),
]
CHROME_VIDEO = [
    video("VP8", 96),
    rtx(97, 96),
    h264(103, "42001f"),
    rtx(104, 103),
    h264(107, "42001f", "0"),
    rtx(108, 107),
    h264(109, "42e01f"),
    rtx(114, 109),
    h264(115, "42e01f", "0"),
    rtx(116, 115),
    video("AV1", 45),
    rtx(46, 45),
    video("VP9", 98),
    rtx(99, 98),
    video("red", 123),
    rtx(124, 123),
    video("ulpfec", 125),
]
FIREFOX_VIDEO = [
    video("VP8", 120),
    rtx(124, 120),
    video("VP9", 121),
    rtx(125, 121),
    h264(126, "42e01f"),
    rtx(127, 126),
    h264(97, "42e01f", "0"),
    rtx(98, 97),
]
CHROME_EXTENSIONS = [
    extension(1, AUDIO_LEVEL),
    extension(2, SEND_TIME),
    extension(3, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
    extension(4, MID),
]


def agreed(kind: str, remote: list[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
    """Return what aiortc and a browser agree on, under the browser's numbers."""
    return find_common_codecs(CODECS[kind], remote)


def after(kind: str, remote: list[RTCRtpCodecParameters]) -> Numbering:
    """Return the numbering of a session that has negotiated one section with a browser."""
    numbering = Numbering()
    extensions = find_common_header_extensions(HEADER_EXTENSIONS[kind], CHROME_EXTENSIONS)
    numbering.learn(agreed(kind, remote), extensions)
    numbering.reserve(map(payload_type, remote), (x.id for x in CHROME_EXTENSIONS))
    return numbering


def numbers(codecs: list[RTCRtpCodecParameters]) -> list[int]:
    return [payload_type(codec) for codec in codecs]


def repairs(codecs: list[RTCRtpCodecParameters]) -> list[tuple[int, int]]:
    """Return what each RTX repairs, as positions in the list."""
    at = {payload_type(codec): position for position, codec in enumerate(codecs)}
    return [
        (position, at[int(str(codec.parameters["apt"]))])
        for position, codec in enumerate(codecs)
        if is_rtx(codec)
    ]


def without_numbers(codecs: list[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
    copies = deepcopy(codecs)
    for copy in copies:
        copy.payloadType = None
        if is_rtx(copy):
            copy.parameters.pop("apt")
    return copies


# --- payload types


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_fresh_session_has_aiortcs_own_numbers(kind: str) -> None:
    assert Numbering().codecs(CODECS[kind]) == CODECS[kind]


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        # In aiortc's order: VP8, H264 42001f and H264 42e01f, each with its RTX. To aiortc both
        # profiles are constrained baseline or baseline, and the browser's first one counts.
        (CHROME_VIDEO, [96, 97, 103, 104, 109, 114]),
        ([*FIREFOX_VIDEO[:2], h264(105, "42001f"), rtx(106, 105)], [120, 124, 105, 106]),
    ],
    ids=["Chrome", "another"],
)
def test_an_offer_keeps_the_browsers_video_numbers(
    remote: list[RTCRtpCodecParameters], expected: list[int]
) -> None:
    offer = after("video", remote).codecs(CODECS["video"])
    assert numbers(offer)[: len(expected)] == expected
    assert repairs(offer) == repairs(CODECS["video"])
    assert without_numbers(offer) == without_numbers(CODECS["video"])


def test_an_offer_keeps_the_browsers_audio_numbers() -> None:
    assert numbers(after("audio", CHROME_AUDIO).codecs(CODECS["audio"])) == [111, 9, 0, 8]


def test_what_the_browser_does_not_have_gets_numbers_that_are_free() -> None:
    offer = after("video", FIREFOX_VIDEO).codecs(CODECS["video"])
    known = {"video/VP8": 120}
    assert numbers(offer)[:2] == [known["video/VP8"], 124]
    new = set(numbers(offer)) - set(numbers(agreed("video", FIREFOX_VIDEO)))
    assert not new & set(numbers(FIREFOX_VIDEO))
    assert repairs(offer) == repairs(CODECS["video"])


def test_the_numbers_of_another_kind_are_not_taken() -> None:
    numbering = after("video", CHROME_VIDEO)
    offer = numbering.codecs(CODECS["audio"])
    assert numbers(offer)[0] not in numbers(CHROME_VIDEO)
    assert numbers(offer)[1:] == [9, 0, 8]


def test_rtx_follows_what_it_repairs_to_a_new_number() -> None:
    numbering = Numbering()
    numbering.reserve([97, 98], [])
    vp8, repair = numbering.codecs(CODECS["video"][:2])
    assert {payload_type(vp8), payload_type(repair)}.isdisjoint({97, 98})
    assert repair.parameters["apt"] == vp8.payloadType


def test_the_first_number_of_a_codec_counts() -> None:
    numbering = Numbering()
    numbering.learn([video("VP8", 100), video("VP8", 101)], [extension(5, MID), extension(6, MID)])
    numbering.learn([video("VP8", 102)], [extension(7, MID)])
    assert numbers(numbering.codecs([video("VP8", 96)])) == [100]
    assert [x.id for x in numbering.extensions([extension(1, MID)])] == [5]


def test_the_numbers_of_one_codec_under_other_parameters_differ() -> None:
    numbering = Numbering()
    numbering.learn([h264(100, "42001f"), h264(101, "42e01f")], [])
    offer = numbering.codecs([h264(96, "42e01f"), h264(97, "42001f"), h264(98, "42e01f", "0")])
    assert numbers(offer)[:2] == [101, 100]
    assert numbers(offer)[2] not in (100, 101)


def test_the_name_of_a_codec_has_no_case() -> None:
    numbering = Numbering()
    numbering.learn([video("vp8", 100)], [])
    assert numbers(numbering.codecs([video("VP8", 96)])) == [100]


def test_what_is_given_is_not_changed() -> None:
    codecs, extensions = deepcopy(CODECS["video"]), deepcopy(HEADER_EXTENSIONS["video"])
    numbering = after("video", CHROME_VIDEO)
    assert numbering.codecs(codecs) != codecs
    assert numbering.extensions(extensions) != extensions
    assert codecs == CODECS["video"]
    assert extensions == HEADER_EXTENSIONS["video"]


def test_a_codec_without_a_payload_type_is_refused() -> None:
    codec = video("VP8", 96)
    codec.payloadType = None
    with pytest.raises(ValueError, match="video/VP8 has no payload type"):
        payload_type(codec)


@pytest.mark.parametrize("apt", [95, None, "96"])
def test_rtx_that_repairs_nothing_does_no_harm(apt: int | str | None) -> None:
    orphan = video("rtx", 97, apt=apt)
    numbering = Numbering()
    numbering.learn([video("VP8", 96), orphan], [])
    assert numbers(numbering.codecs([video("VP8", 96), orphan])) == [96, 97]


@pytest.mark.parametrize("codec", CODECS["audio"][1:], ids=lambda codec: codec.name)
def test_a_static_payload_type_stays_although_the_other_side_uses_it(
    codec: RTCRtpCodecParameters,
) -> None:
    # RFC 3551 section 6: it cannot mean another codec, so there is nothing to stay clear of. It is
    # reserved, but not learnt, where codec preferences left it out of the answer.
    numbering = Numbering()
    numbering.reserve([payload_type(codec)], [])
    assert numbers(numbering.codecs([codec])) == [codec.payloadType]


def test_two_codecs_learnt_under_one_number_do_not_share_it() -> None:
    # Sections that are not bundled may each use the same number; an offer here bundles them.
    numbering = Numbering()
    numbering.learn([video("VP8", 96)], [])
    numbering.learn([video("VP9", 96)], [])
    assert len(set(numbers(numbering.codecs([video("VP8", 97), video("VP9", 98)])))) == 2


def test_sections_of_one_offer_do_not_share_a_number() -> None:
    # RFC 8843 section 9.1: in a bundle a payload type means one codec.
    numbering = Numbering()
    numbering.reserve([96], [2])  # such as a telephone-event of a gateway without opus
    offer = chain.from_iterable(numbers(numbering.codecs(CODECS[kind])) for kind in CODECS)
    assert sorted(found := list(offer)) == sorted(set(found))


def test_when_no_number_is_free_none_is_taken_twice() -> None:
    numbering = Numbering()
    numbering.reserve([*range(35, 64), *range(96, 128)], range(1, 15))
    assert not {payload_type(c) for c in numbering.codecs(CODECS["video"])} & {*range(96, 128)}
    assert not {x.id for x in numbering.extensions(HEADER_EXTENSIONS["audio"])} & {*range(1, 15)}


# --- header extensions


@pytest.mark.parametrize("kind", ["audio", "video"])
def test_a_fresh_session_has_the_ids_that_browsers_give(kind: str) -> None:
    # Chromium refuses others where its own offer had to be taken back.
    offer = Numbering().extensions(HEADER_EXTENSIONS[kind])
    assert [x.uri for x in offer] == [x.uri for x in HEADER_EXTENSIONS[kind]]
    assert all(x in CHROME_EXTENSIONS for x in offer)


def test_an_offer_keeps_the_browsers_extension_ids() -> None:
    offer = after("audio", CHROME_AUDIO).extensions(HEADER_EXTENSIONS["audio"])
    assert offer == [extension(4, MID), extension(1, AUDIO_LEVEL)]


def test_a_new_extension_gets_an_id_that_is_free() -> None:
    mid, send_time = after("audio", CHROME_AUDIO).extensions(HEADER_EXTENSIONS["video"])
    assert mid == extension(4, MID)
    assert send_time.uri == SEND_TIME
    assert send_time.id not in {x.id for x in CHROME_EXTENSIONS}


def test_sections_of_one_offer_do_not_share_an_extension_id() -> None:
    # RFC 8843 section 9.1 and RFC 8285 section 5: in a bundle an id means one extension.
    numbering = Numbering()
    numbering.reserve([], [2])
    offer = [x for kind in CODECS for x in numbering.extensions(HEADER_EXTENSIONS[kind])]
    meanings = {x.id: x.uri for x in offer}
    assert all(meanings[x.id] == x.uri for x in offer)


def test_extensions_are_learnt_from_any_iterable() -> None:
    numbering = Numbering()
    numbering.learn([], iter([extension(2, MID)]))
    ids = [x.id for x in numbering.extensions([extension(2, AUDIO_LEVEL), extension(1, MID)])]
    assert ids[1] == 2
    assert ids[0] != 2


# --- any session

STATIC = {0, 8, 9}
DYNAMIC = st.sampled_from([*range(96, 128), *range(35, 64)])
KNOWN = [
    x for kind in CODECS for x in CODECS[kind] if not is_rtx(x) and x.payloadType not in STATIC
]
FOREIGN = [video("VP9", 1), video("AV1", 1), audio("red", 1, 48000, 2), audio("CN", 1)]


@st.composite
def sessions(draw: st.DrawFn) -> tuple[Numbering, set[int], dict[str, int]]:
    """Draw a session, what the other side uses in it, and the number of each codec learnt."""
    numbering = Numbering()
    free = draw(st.lists(DYNAMIC, unique=True, min_size=2 * len(KNOWN + FOREIGN), max_size=45))
    used = set(free)
    learnt: dict[str, int] = {}
    for codec in draw(st.permutations(KNOWN + FOREIGN)):
        if not draw(st.booleans()):
            continue
        base = deepcopy(codec)
        base.payloadType = learnt[str((codec.mimeType, codec.parameters))] = free.pop()
        repair = [rtx(free.pop(), base.payloadType)] if draw(st.booleans()) else []
        numbering.learn([base, *repair], [])
    numbering.reserve(used | draw(st.sets(st.sampled_from([13, 72, 95]))), [])
    ids = draw(st.lists(st.integers(1, 14), unique=True, max_size=11))
    uris = [MID, AUDIO_LEVEL, SEND_TIME, *(f"urn:example:{i}" for i in range(11))]
    shuffled = draw(st.permutations(uris))
    numbering.learn([], [extension(*known) for known in zip(ids, shuffled, strict=False)])
    return numbering, used, learnt


@given(sessions(), st.sampled_from(["audio", "video"]))
def test_any_sessions_offer_has_numbers_of_its_own(
    session: tuple[Numbering, set[int], dict[str, int]], kind: str
) -> None:
    numbering, used, learnt = session
    offer = numbering.codecs(CODECS[kind])
    assert len(set(numbers(offer))) == len(offer)
    assert repairs(offer) == repairs(CODECS[kind])
    assert without_numbers(offer) == without_numbers(CODECS[kind])
    for was, codec in zip(CODECS[kind], offer, strict=True):
        known = learnt.get(str((codec.mimeType, codec.parameters)))
        if was.payloadType in STATIC:
            assert codec.payloadType == was.payloadType
        elif known is not None:
            assert codec.payloadType == known
        elif not is_rtx(codec):
            assert codec.payloadType not in used
    assert numbering.codecs(offer) == offer
    assert numbering.codecs(CODECS[kind]) == offer


@given(sessions(), st.sampled_from(["audio", "video"]))
def test_any_sessions_offer_has_extension_ids_of_its_own(
    session: tuple[Numbering, set[int], dict[str, int]], kind: str
) -> None:
    numbering, _, _ = session
    offer = numbering.extensions(HEADER_EXTENSIONS[kind])
    assert [x.uri for x in offer] == [x.uri for x in HEADER_EXTENSIONS[kind]]
    assert len({x.id for x in offer}) == len(offer)
    assert {x.id for x in offer} <= {*range(1, 15)}
    assert numbering.extensions(offer) == offer


@given(st.permutations(CHROME_VIDEO), st.integers(0, len(CHROME_VIDEO)))
def test_whatever_a_browser_answers_its_numbers_are_kept(
    remote: list[RTCRtpCodecParameters], some: int
) -> None:
    common = agreed("video", remote[:some])
    assume(common)
    numbering = Numbering()
    numbering.learn(common, [])
    again = numbering.codecs(common)
    first: dict[str, int | None] = {}
    for codec in common:
        first.setdefault(str(without_numbers([codec])), codec.payloadType)
    for was, codec in zip(common, again, strict=True):
        if not is_rtx(codec):
            assert codec.payloadType == first[str(without_numbers([was]))]
