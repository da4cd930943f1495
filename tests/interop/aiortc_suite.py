"""aiortc's own tests of its peer connection, with icefloe's in its place.

``python -m tests.interop.aiortc_suite`` fetches aiortc's source distribution with pip, runs its
``tests/test_rtcpeerconnection.py``, and says which tests do not pass. Those that do not on purpose
are in :data:`DIFFERENCES`, with the reason; any other one makes the exit status 1, and so does one
of these that passes.
"""

import logging
import subprocess
import sys
import tarfile
import tempfile
import unittest
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from icefloe.peer import PeerConnection

BUNDLED = (
    "Without a configuration everything is on one transport from the start, so that what is added "
    "later is connected at once; aiortc counts a transport that is not yet bundled as new."
)
STATISTICS = "`getStats()` has more entries: candidates, pairs, the connection."
OPUS = (
    "Opus is described with `minptime=10;useinbandfec=1`, so that the other side repeats in its "
    "packets what may be lost."
)
REJECTED = (
    "A section without a common codec is answered with port 0, and the rest of the call works "
    "(RFC 3264 section 6)."
)

DIFFERENCES = {
    "test_addIceCandidate_before_setremotedescription": (
        "A candidate that comes before its description is kept for it, and no warning is due."
    ),
    "test_addIceCandidate_no_sdpMid_or_sdpMLineIndex": (
        "The message of the `ValueError` names the candidate in front of aiortc's words."
    ),
    "test_connect_audio_bidirectional": OPUS,
    "test_connect_audio_bidirectional_with_empty_iceservers": OPUS,
    "test_connect_audio_codec_preferences_offerer": STATISTICS,
    "test_connect_audio_mid_changes": (
        "A `BUNDLE` group does not keep the mid of a section that is not there."
    ),
    "test_connect_audio_then_video": BUNDLED,
    "test_connect_datachannel_then_audio": BUNDLED,
    "test_connect_video_bidirectional": STATISTICS,
    "test_create_datachannel_with_maxpacketlifetime_and_maxretransmits": (
        "The error names the argument and its value; it is a `ValueError` and a `TypeError`, as in "
        "browsers."
    ),
    "test_setRemoteDescription_no_common_audio": REJECTED,
    "test_setRemoteDescription_no_common_video": REJECTED,
    "test_setRemoteDescription_unexpected_offer": (
        "An offer that meets an own one takes that one back first, as in browsers (RFC 9429 "
        "section 4.1.10.2)."
    ),
    "test_setRemoteDescription_without_rtcp_mux": (
        "A section without `rtcp-mux` is answered with port 0, as browsers do with the policy "
        "`require`; in an answer it is an error."
    ),
}
"""The reason for each of these tests that it does not pass."""


def fetch(folder: Path) -> Path:
    """Fetch the tests of the aiortc that is installed; return the folder that has them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary"]
    command += [":all:", f"aiortc=={version('aiortc')}", "--dest", str(folder)]
    subprocess.run(command, check=True)
    (archive,) = folder.glob("aiortc-*.tar.gz")
    with tarfile.open(archive) as source:
        wanted = [member for member in source.getmembers() if "/tests/" in member.name]
        source.extractall(folder, members=wanted, filter="data")
    (root,) = (path for path in folder.glob("aiortc-*") if path.is_dir())
    return root


def run(folder: str) -> None:
    """Run the tests in this process, and print the name of each that does not pass."""
    sys.path.insert(0, folder)
    suite: Any = import_module("tests.test_rtcpeerconnection")  # aiortc's: it is first in the path
    suite.RTCPeerConnection = PeerConnection
    logging.disable(logging.CRITICAL)
    with Path(folder, "log").open("w") as log:
        result = unittest.TextTestRunner(log, verbosity=2).run(
            unittest.defaultTestLoader.loadTestsFromModule(suite)
        )
    for test, _ in (*result.failures, *result.errors):
        print("failed", test.id().rpartition(".")[2])
    print("ran", result.testsRun)


def main() -> int:
    """Run them in a process of their own, whose package ``tests`` is aiortc's."""
    with tempfile.TemporaryDirectory() as folder:
        root = fetch(Path(folder))
        command = [sys.executable, __file__, str(root)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        words = [line.split() for line in output.splitlines()]
        failed = {name for word, name in words if word == "failed"}
        unexpected = failed - DIFFERENCES.keys()
        if unexpected:
            print((root / "log").read_text())
    (count,) = (int(number) for word, number in words if word == "ran")
    for name in sorted(failed & DIFFERENCES.keys()):
        print(f"differs     {name}: {DIFFERENCES[name]}")
    for name in sorted(DIFFERENCES.keys() - failed):
        print(f"passes now  {name}")
    for name in sorted(unexpected):
        print(f"UNEXPECTED  {name}")
    print(f"{count - len(failed)} of {count} tests of aiortc pass")
    return int(failed != DIFFERENCES.keys())


if __name__ == "__main__":
    if sys.argv[1:]:
        run(sys.argv[1])
    else:
        sys.exit(main())
