"""The limits that docs/security.md prints are those of the code, and none is left out."""

import ast
import dataclasses
import importlib
import pkgutil
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec import Meta

import icefloe
from tests.documents.blocks import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| [^|]+ \| `([^`|]+)` \| ([^|]+) \| [^|]*\| [^|]*\|$", PAGE, re.MULTILINE)
NAMES = [name for name, _ in ROWS]

_WORDS = """
    ACCEPTED AHEAD ATTEMPTS ATTRIBUTES BACKLOG BATCH BUCKETS BUDGET BUFFER BURST BYTES CANDIDATES
    CAPACITY CHECKS CONCURRENT CREDENTIAL DECODERS DEPTH ENTRIES ERRORS FINGERPRINTS GROWTHS GUESSES
    HELD HIGHEST HISTORY INBOX KEPT LARGEST LEAP LIMIT LIMITS LINES LINGER LINGERING LONGEST MAX
    MOST ONCE OUTBOX PACKETS PAIRS PARTS PICTURES QUEUE QUEUED READS REFUSALS REMEMBERED REPLIES
    REPORTED RESTARTS SCARCE SECTIONS SEGMENTS SENTENCE SETS SOCKETS SSRCS STRANGERS TEXT TIMEOUT
    TRIES UNHANDLED WAITING WINDOW
"""
WORDS = frozenset(_WORDS.split())
"""A constant with one of these in its name may be a limit."""

OWN = "decided by this machine alone: no other one can move it"
CONTROL = "a measure of congestion control: bounded by what the path and its acknowledgements tell"
FORMAT = "a number of the format or of the system"
CONSTANTS_THAT_ARE_NONE = {
    CONTROL: """
        peer.sctp.congestion.model.STARTUP_WINDOW peer.sctp.congestion.model.WINDOW_GAIN
        peer.sctp.congestion.model.STANDING_QUEUE peer.sctp.congestion.model.FOREIGN_QUEUE
        peer.sctp.congestion.model.QUEUE_DELAY peer.sctp.congestion.model.STARTUP_QUEUE
        peer.sctp.congestion.model.INITIAL_PACKETS peer.sctp.congestion.cubic.INITIAL_PACKETS
        peer.sctp.path_mtu.MAX_TRIES peer._util.pacer.MIN_BURST peer._util.pacer.INITIAL_MAX_BURST
        peer._util.pacer.MAX_BURST peer._util.pacer.LOSS_BURST peer._util.pacer.BURST_GROWTH
        peer._util.pacer.BURST_GROWTH_INTERVAL peer._util.pacer.BURST_GROWTH_PAUSE
        peer.sctp.congestion.model.MAX_QUEUE peer.sctp.congestion.model.MAX_QUEUE_FRACTION
        peer.sctp.congestion.model.MIN_PACKETS peer.sctp.congestion.cubic.MIN_PACKETS
        peer.sctp.round_trip.RTO_MAX peer.sctp.handshake.T1_MAX
        peer.rtp.congestion.congestion_window._LONGEST_TRIP
        peer.rtp.congestion.congestion_window._LONGEST_INTERVAL
        peer.rtp.congestion.queue_delay._LONGEST_PACKET_TIME
        peer.sctp.sending.MAX_SKIPPED_STREAMS peer.sctp.sending.MAX_PROBE_BACKOFF
        peer.rtp.congestion.report_schedule.MAX_INTERVAL
    """,
    FORMAT: """
        signaling.frames._TEXT signaling.frames._FINAL_TEXT
        signaling.cluster.commands.SEED_BYTES signaling.cluster.fresh_ids._STATE_BYTES
        signaling.cluster.fresh_ids._ID_BYTES signaling.cluster.fresh_ids._SECRET_BYTES
        signaling.token_keys._MIN_SECRET_BYTES
        encoding.packing.PAYLOAD_MAX media.sources.decoding._FRAME_BYTES
        media.sources.decoding._SAMPLE_BYTES media.sources.tempo._SAMPLE_BYTES
        media.sources.test_signals._TEXT_LENGTH peer.ice.turn.tcp._TCP_RTO_MAX_MS
        peer.ice.udp._MAX_SEGMENTS peer.rtp.send.pipeline._MAX_PAYLOAD
        peer.rtp.receive.bitstream_size._MAX_LEADING_ZEROS
        peer.rtp.congestion.transport_feedback._MAX_RUN
        peer.rtp.congestion.transport_feedback._MAX_DELTA
    """,
    OWN: """
        signaling.cluster.redis_log.SNAPSHOT_BYTES signaling.cluster.redis_log.MAX_RETRY_PAUSE
        peer.ice.tcp.framing._BATCH peer.ice.tcp.mux._TRIES
        peer.ice.mux.udp_mux._PORT_ATTEMPTS
        encoding.clock._WINDOW encoding.pieces._WINDOW peer.rtp.send.frame_delay._WINDOW
        media.sources.threaded_source._CLOSE_TIMEOUT media.sources.devices._TIMEOUT
        media.sources.generated._CLOSE_TIMEOUT media.sources.generated._VIDEO_AHEAD
        media.sources.generated._AUDIO_AHEAD media.sources.test_signals._MAX_PIXELS
        media.sinks.speaker._OPEN_TIMEOUT media.sinks.speaker._CLOSE_TIMEOUT
        media.sinks.sync._WINDOW media.sources.audio_queue._MIN_CAPACITY
        peer._aiortc.dtls.DtlsTransport._AT_ONCE peer.files.protocol.BATCH
        media.sources.pcm._MAX_RATE media.sources.tempo.MAX_RATE
        peer.rtp.receive.delay_target._BUCKETS encoding.clock._MAX_TIME_BASE
        encoding.clock._MAX_JUMP encoding.clock._BURST_SECONDS
        encoding.pieces.TARGET_QUEUED_SECONDS media.fanout.shared_encoder._RATE_WINDOW
        media.fanout.quality_tiers._MAX_UP_AFTER media.sources.reader_thread._MAX_BACK_OFF
        peer.files.sender._READ_BATCH peer.rtp.send.send_bitrate._WINDOW
        peer.rtp.send.send_bitrate._MIN_WINDOW peer.rtp.send.timestamps._MAX_CAPTURE_AGE
        peer.rtp.receive.delay_target._BASE_WINDOW
        peer.rtp.receive.playout_schedule.MAX_LAG peer.rtp.receive.time_stretch.MAX_PERIOD
        encoding.libopus._MAX_PACKET
        peer.sctp.receiving.PACKETS_PER_SACK peer.sctp.receiving.WINDOW_UPDATE
        peer.ice.turn.allocation.REFRESH_AHEAD
        peer.rtp.congestion.rtcp_framing.MAX_SIZE
        peer.rtp.congestion.receiver_estimate.WINDOW
        peer.rtp.congestion.receiver_estimate.MAX_PAUSE
        peer.rtp.congestion.receiver_estimate.MAX_DEVIATION
        peer.rtp.send.allocation.AUDIO_PACKETS_PER_SECOND
        peer.rtp.send.congestion_control.BACKLOG
        peer.rtp.send.congestion_control.FEEDBACK_TIMEOUT
        peer.rtp.send.packet_pacer.BURST peer.rtp.send.packet_pacer.MIN_BURST_BYTES
        peer.rtp.send.frame_selection._HIGHEST_RATE peer.rtp.send.packet_pacer.PROBE_TIMEOUT
        peer.rtp.send.packet_pacer.MAX_BURST_BYTES
        peer.rtp.send.video_adaptation.MAX_UP_AFTER encoding.video._MAX_KEY_FRAME
        encoding.video._BUFFER_SECONDS encoding.encoder_time.MAX_STEP
        encoding.encoder_time.MAX_CORRECTION encoding.encoder_time.MAX_WAITING
        encoding.encoder_time.MAX_RATIO
    """,
}
"""Those that bound nothing that another machine decides, by the reason."""

SETTINGS_THAT_ARE_NONE = {
    "set from another setting that is in the page": """
        peer.ice.checks.liveness.SilenceLimits peer.ice.checks.state.Settings
        peer.sctp.states.Settings
    """,
    OWN: """
        media.speech.segments.SpeechLimits.minimum media.speech.segments.SpeechLimits.pause
        media.speech.segments.SpeechLimits.before media.speech.segments.SpeechLimits.after
        demos.fleet.runner.FleetSettings.port demos.fleet.runner.FleetSettings.workers
    """,
}
"""Classes of settings, or fields of them, likewise."""


def members(table: dict[str, str]) -> set[str]:
    return {name for names in table.values() for name in names.split()}


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(icefloe.__path__, "icefloe."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def lookup(name: str) -> Any:
    """Return what a name of the page stands for; fields of settings are their defaults."""
    if name.startswith(("page/", "javascript/")):
        return constants_of_page(name.partition(":")[0])[name.partition(":")[2]]
    parts = f"icefloe.{name}".split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = default_of(found, part)
        return found
    raise AssertionError(name)


def default_of(owner: Any, name: str) -> Any:
    if place := re.fullmatch(r"(\w+)\[(\d+)\]", name):
        return getattr(owner, place[1])[int(place[2])]
    if dataclasses.is_dataclass(owner):
        (field,) = (field for field in dataclasses.fields(owner) if field.name == name)
        return field.default
    return getattr(owner, name)


def number_of(value: Any) -> float:
    """Return a limit as a number: as it is, or what an annotated type says."""
    if typing.get_origin(value) is typing.Annotated:
        (meta,) = (each for each in value.__metadata__ if isinstance(each, Meta))
        value = meta.max_length if meta.max_length is not None else meta.le
    assert isinstance(value, int | float)
    return value


def constants_of_page(path: str) -> dict[str, float]:
    """Return the numbers that a module of the pages has for constants."""
    text = (ROOT / "signaling" / path).read_text(encoding="utf-8")
    found = re.findall(r"^(?:export )?const ([A-Z_]+) = ([0-9_ *-]+);$", text, re.MULTILINE)
    return {name: eval(value, {"__builtins__": {}}) for name, value in found}


def test_the_page_has_tables() -> None:
    assert len(NAMES) > 150
    assert len(NAMES) == len(set(NAMES))
    # Each row of a table of limits was understood.
    limits = PAGE.partition("## Limits")[2]
    rows = [line for line in limits.splitlines() if re.match(r"\| (?!what \|)[^-]", line)]
    assert len(rows) == len(ROWS), {row for row in rows if not re.search(r"\| `", row)}


@pytest.mark.parametrize(("name", "printed"), ROWS)
def test_a_limit_is_what_the_page_says(name: str, printed: str) -> None:
    assert number_of(lookup(name)) == float(printed.replace(",", ""))


def assigned(module: ModuleType) -> Iterator[str]:
    """Return the names that a module gives values to, those within its classes included."""
    assert module.__file__ is not None
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))

    def within(body: list[ast.stmt], owner: str) -> Iterator[str]:
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                yield from within(statement.body, f"{owner}{statement.name}.")
            elif isinstance(statement, ast.Assign | ast.AnnAssign):
                targets = (
                    statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                )
                for target in targets:
                    for node in ast.walk(target):
                        if isinstance(node, ast.Name):
                            yield f"{owner}{node.id}"

    return within(tree.body, "")


def limits_of(module: ModuleType) -> Iterator[str]:
    """Return the constants of a module that seem to be limits."""
    short = module.__name__.removeprefix("icefloe.")
    for name in assigned(module):
        *owners, last = name.split(".")
        if last != last.upper() or not WORDS & set(last.strip("_").split("_")):
            continue
        value: Any = module
        for part in (*owners, last):
            value = getattr(value, part)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{short}.{name}"


def test_no_constant_that_may_be_a_limit_is_left_out() -> None:
    exempt = members(CONSTANTS_THAT_ARE_NONE)
    found = {name for module in modules() for name in limits_of(module)}
    assert len(found) > 150
    assert found - set(NAMES) - exempt == set()
    assert exempt <= found, "these are no constants any more"
    assert not exempt & set(NAMES)


def settings_of(module: ModuleType) -> Iterator[str]:
    """Return the fields with a number that a module has in classes of settings."""
    for name, cls in vars(module).items():
        is_own = isinstance(cls, type) and cls.__module__ == module.__name__
        if not (is_own and dataclasses.is_dataclass(cls)):
            continue
        if not re.search("(Configuration|Limits|Settings)$", name):
            continue
        for field in dataclasses.fields(cls):
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                yield f"{module.__name__.removeprefix('icefloe.')}.{name}.{field.name}"


def test_no_setting_that_may_be_a_limit_is_left_out() -> None:
    exempt = members(SETTINGS_THAT_ARE_NONE)
    # Those the page has under the public names of PeerConfiguration.
    exempt |= {"peer.configuration.PeerConfiguration", "peer.ice.configuration.IceConfiguration"}
    names = {name for module in modules() for name in settings_of(module)}
    fields = {n for n in names if n not in exempt and n.rpartition(".")[0] not in exempt}
    assert fields - set(NAMES) == set()
    own = {n for n in names if n.startswith("peer.configuration.PeerConfiguration.")}
    assert {n.replace("peer.configuration.", "peer.") for n in own} <= set(NAMES)


def test_no_limit_of_the_pages_is_left_out() -> None:
    folder = ROOT / "signaling" / "page"
    names = set()
    module = ROOT / "signaling" / "javascript" / "icefloe.js"
    for file in (module, *folder.glob("*.js"), *folder.glob("files/*.js")):
        path = str(file.relative_to(ROOT / "signaling"))
        names |= {f"{path}:{name}" for name in constants_of_page(path) if is_limit_of_page(name)}
    own = {
        "page/input.js:BACKLOG_MOST",  # of input of its own user, like the next two
        "page/input.js:TEXT_MOST",
        "page/input.js:NOTCHES_MOST",
    }
    assert own <= names
    assert names - set(NAMES) == own


def is_limit_of_page(name: str) -> bool:
    return bool({"MOST", "LIMIT"} & set(name.split("_")))


def test_the_policy_leads_to_the_page() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "(docs/security.md)" in policy
    assert "(../SECURITY.md)" in PAGE
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/security.md)" in readme
    assert "(SECURITY.md)" in readme
