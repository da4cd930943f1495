"""The systemd unit: systemd takes it, it is closed, and the server runs under what it forbids."""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT
from tests.documents.test_commands import prints, shell

UNIT = ROOT / "deploy" / "icefloe.service"
LARGEST_EXPOSURE = 2.0
"""Of 10, as systemd-analyze counts it; what is left is the network, which a server needs."""

FORBID_EXECUTABLE_MEMORY = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""MemoryDenyWriteExecute without systemd: prctl(PR_SET_MDWE), which a program inherits."""


def settings(name: str) -> list[str]:
    text = UNIT.read_text(encoding="utf-8")
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that is here, which systemd looks for."""
    text = UNIT.read_text(encoding="utf-8")
    program = shutil.which("true")
    assert program is not None
    file = tmp_path / UNIT.name
    file.write_text(text.replace("/opt/icefloe/bin/icefloe", program))
    return file


@pytest.mark.system("systemd")
def test_systemd_takes_the_unit(unit: Path) -> None:
    done = analyze("verify", unit)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.system("systemd")
def test_the_unit_is_closed(unit: Path) -> None:
    done = analyze("security", "--offline=yes", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= LARGEST_EXPOSURE


def test_the_unit_has_what_docs_promise() -> None:
    for name, value in (
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("KillSignal", "SIGTERM"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
        ("AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
    ):
        assert settings(name) == [value]
    credentials = [each.partition(":")[0] for each in settings("LoadCredential")]
    environment = " ".join(settings("Environment"))
    assert re.findall(r"%d/(\S+)", environment) == credentials == ["token-secret", "turn-secret"]


def variables(folder: Path) -> dict[str, str]:
    """Return the environment of the unit, with its files in a folder."""
    words = " ".join(settings("Environment")).split()
    pairs = dict(word.split("=", 1) for word in words)
    return {
        name: value.replace("%d", str(folder)).replace("/etc/icefloe", str(folder))
        for name, value in pairs.items()
    }


async def test_the_server_runs_with_the_environment_of_the_unit(tmp_path: Path) -> None:
    from trustme import CA

    (tmp_path / "tls").mkdir()
    certificate = CA().issue_cert("call.example.org")
    certificate.private_key_pem.write_to_path(str(tmp_path / "tls" / "privkey.pem"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(tmp_path / "tls" / "fullchain.pem"), append=True)
    for name in ("token-secret", "turn-secret"):
        (tmp_path / name).write_text("s" * 44)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "start.py").write_text(FORBID_EXECUTABLE_MEMORY)
    [start] = settings("ExecStart")
    program = start.replace("/opt/icefloe/bin/", f"{Path(sys.executable).parent}/")
    environment = variables(tmp_path) | {
        "ICEFLOE_PORT": "0",
        "ICEFLOE_ICE_SERVER": "turn:turn.example.org",
    }
    line = f"{sys.executable} start.py {program}"
    async with shell(line, tmp_path, **environment) as process:
        await prints(process, r"Open https://")
        await prints(process, "Press Ctrl-C")
        assert "kill -HUP" in settings("ExecReload")[0]
        process.send_signal(signal.SIGHUP)
        await prints(process, "the certificate was read again")


def expanded(group: str) -> set[str]:
    """Return the system calls of a group."""
    calls: set[str] = set()
    for line in analyze("syscall-filter", group).stdout.splitlines()[1:]:
        if (name := line.strip()) and not name.startswith("#"):
            calls |= expanded(name) if name.startswith("@") else {name}
    return calls


@pytest.mark.system("systemd", "strace")
async def test_the_server_needs_no_system_call_that_the_unit_forbids(tmp_path: Path) -> None:
    allowed: set[str] = set()
    for line in settings("SystemCallFilter"):
        groups = line.removeprefix("~").split()
        calls = set().union(*map(expanded, groups))
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    log = tmp_path / "calls"
    line = f"strace -f -o {log} icefloe serve --tls-self-signed --ice-server stun:s.example.org"
    environment = {"ICEFLOE_PORT": "0"}
    pid = 0
    async with shell(line, tmp_path, **environment) as process:
        found = await prints(process, r"Open https://127\.0\.0\.1:(\d+)/")
        await prints(process, "Press Ctrl-C")
        get = f"import ssl, socket; ssl.get_server_certificate(('127.0.0.1', {found[1]}))"
        subprocess.run([sys.executable, "-c", get], check=True)
        pid = int(re.findall(r"^(\d+)", log.read_text(encoding="utf-8", errors="replace"))[0])
        os.kill(pid, signal.SIGTERM)
        await process.wait()
    used = set(re.findall(r"^\d+ +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))
    assert len(used) > 20
    assert used - allowed == set()


def test_executable_memory_is_really_forbidden(tmp_path: Path) -> None:
    """Otherwise the test above would show nothing."""
    if ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) < 0:
        pytest.skip("the kernel has no PR_SET_MDWE")
    (tmp_path / "start.py").write_text(FORBID_EXECUTABLE_MEMORY)
    code = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)"
    command = [sys.executable, str(tmp_path / "start.py"), sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
