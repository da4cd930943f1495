"""The ``icefloe`` command, run as a person runs it."""

import asyncio
import re
import signal
import socket
import ssl
import stat
import sys
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509

from icefloe import __version__
from icefloe.signaling import PeerJoined, connect
from tests.helpers.command import icefloe, run


async def test_version_is_told() -> None:
    assert await run("--version") == (0, f"icefloe {__version__}\n", "")


async def test_help_names_the_commands_and_exit_codes() -> None:
    code, out, _ = await run("--help")
    assert code == 0
    for word in ("serve", "demo", "Exit codes", "130", "ICEFLOE_LOG_LEVEL"):
        assert word in out


@pytest.mark.parametrize("command", ["serve", "demo"])
async def test_help_of_a_command_names_its_flags(command: str) -> None:
    code, out, _ = await run(command, "--help")
    assert code == 0
    for flag in ("--host", "--port", "--log-level", "--tls-self-signed", "--ice-server"):
        assert flag in out


async def test_help_loads_neither_server_nor_media() -> None:
    code = "import sys, icefloe.__main__; print(*sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    loaded = set(out.decode().split())
    assert "icefloe.__main__" in loaded
    assert not loaded & {"av", "aiortc", "websockets", "msgspec", "cryptography", "icefloe.peer"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--port", "many"], "--port"),
        (["serve", "--log-level", "loud"], "loud"),
        (["serve", "--tls-cert", "/nowhere/cert.pem"], "does not exist"),
        (["serve", "--tls-key", __file__], "--tls-cert"),
        (["serve", "--tls-cert", __file__, "--tls-self-signed"], "--tls-self-signed"),
        (["serve", "--ice-server", "http://example.org"], "RFC 7064"),
        (["serve", "--ice-server", "turn:example.org"], "--ice-credential"),
        (["serve", "--allowed-origin", "example.org"], "https://example.org"),
        (["serve", "--allowed-origin", "https://example.org/page"], "no origin"),
        (["serve", "--metrics-from", "10.0.0.1/8"], "--metrics-from"),
        (["serve", "--metrics-token-file", "/nowhere/token"], "does not exist"),
        (["demo", "--play", "/nowhere/film.mp4"], "does not exist"),
        (["demo", "--room", ""], "1 to 64"),
        (["demo", "--udp-port", "70000"], "--udp-port"),
        (["demo", "--external-address", "example.org"], "example.org"),
        (["demo", "--name", "x" * 65], "1 to 64"),
        (["dance"], "dance"),
    ],
)
async def test_wrong_usage_is_explained(arguments: list[str], words: str) -> None:
    code, out, err = await run(*arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err


async def test_a_port_in_use_is_named_with_what_to_do() -> None:
    listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        for command in ("serve", "demo"):
            code, out, err = await run(command, "--port", str(port))
            assert code == 10
            assert out == ""
            assert f"Port {port} of 127.0.0.1 is in use" in err
            assert "--port" in err
            assert "Traceback" not in err


async def test_a_udp_port_in_use_is_named_with_what_to_do() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("0.0.0.0", 0))
        port = taken.getsockname()[1]
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as taken_too:
            taken_too.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            taken_too.bind(("::", port))
            code, _, err = await run("demo", "--port", "0", "--udp-port", str(port))
    assert code == 10
    assert f"cannot open UDP port {port}" in err
    assert "Traceback" not in err


async def test_a_tcp_port_for_calls_in_use_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = await run("demo", "--port", "0", "--tcp-port", str(port))
    assert code == 10
    assert f"cannot open TCP port {port}" in err
    assert "Traceback" not in err


async def test_an_address_of_another_machine_is_refused() -> None:
    code, _, err = await run("serve", "--open", "--host", "192.0.2.1", "--port", "0")
    assert code == 10
    assert "192.0.2.1 is no address of this machine" in err
    assert "Traceback" not in err


async def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("not a certificate")
    code, _, err = await run("serve", "--port", "0", "--tls-cert", str(tmp_path / "cert.pem"))
    assert code == 1
    assert "cert.pem" in err
    assert "--tls-key" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_a_signal_ends_it_at_once(command: str, number: signal.Signals, code: int) -> None:
    async with icefloe(command) as running:
        ended, logged = await running.end(number)
    assert ended == code
    assert "Traceback" not in logged
    assert "ERROR" not in logged


async def test_a_signal_ends_it_with_clients_in_the_room() -> None:
    async with icefloe("serve") as running:
        url = running.url.replace("http", "ws") + "ws"
        async with connect(url, room="lobby", name="bob"):
            ended, logged = await running.end(signal.SIGINT)
    assert ended == 130
    assert "Traceback" not in logged


async def test_every_flag_is_an_environment_variable() -> None:
    environment = {
        "ICEFLOE_ROOM": "kitchen",
        "ICEFLOE_NAME": "cook",
        "ICEFLOE_ICE_SERVER": "stun:192.0.2.1 turn:192.0.2.2?transport=tcp",
        "ICEFLOE_ICE_USERNAME": "user",
        "ICEFLOE_ICE_CREDENTIAL": "secret",
        "ICEFLOE_LOG_LEVEL": "warning",
    }
    async with icefloe("demo", **environment) as running:
        assert running.url.endswith("/?room=kitchen")
        url = running.url.partition("?")[0].replace("http", "ws") + "ws"
        async with connect(url, room="kitchen", name="bob") as client:
            names = [peer.name for peer in client.peers]
            while "cook" not in names:
                event = await anext(aiter(client))
                names += [event.peer.name] if isinstance(event, PeerJoined) else []
            assert [server.urls for server in client.ice_servers] == [
                "stun:192.0.2.1",
                "turn:192.0.2.2?transport=tcp",
            ]
            assert [server.credential for server in client.ice_servers] == [None, "secret"]
        code, logged = await running.end()
        assert code == 0
        assert "INFO" not in logged
        assert "secret" not in logged


async def test_a_room_of_any_name_is_in_the_address() -> None:
    async with icefloe("demo", "--room", "grün & 1") as running:
        assert running.url.endswith("/?room=gr%C3%BCn+%26+1")


async def test_a_wrong_environment_variable_is_explained() -> None:
    code, _, err = await run("serve", ICEFLOE_PORT="many")
    assert code == 2
    assert "--port" in err


@pytest.mark.parametrize(
    ("host", "own"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("", "127.0.0.1")]
)
async def test_all_addresses_are_named_with_a_word_about_cameras(host: str, own: str) -> None:
    async with icefloe("serve", "--open", "--host", host) as running:
        urls = re.findall(r"http://\S+/", "\n".join(running.output))
        assert urls[0].startswith(f"http://{own}:")
        assert "--tls-self-signed" in running.output[-2]
        for url in urls:
            assert await _get(url) == 200


async def test_a_self_signed_certificate_is_kept(tmp_path: Path) -> None:
    told = []
    for _ in range(2):
        async with icefloe("serve", "--tls-self-signed", XDG_CACHE_HOME=str(tmp_path)) as running:
            told += [line for line in running.output if re.fullmatch(r"([0-9A-F]{2}:){31}..", line)]
            assert await _get(running.url, tmp_path / "icefloe" / "self-signed.pem") == 200
    assert len(told) == 2
    assert told[0] == told[1]
    kept = tmp_path / "icefloe" / "self-signed.pem"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    names = x509.load_pem_x509_certificate(kept.read_bytes()).extensions
    names.get_extension_for_class(x509.SubjectAlternativeName)


async def test_a_certificate_that_does_not_fit_is_made_anew(tmp_path: Path) -> None:
    kept = tmp_path / "icefloe" / "self-signed.pem"
    kept.parent.mkdir()
    kept.write_text("damaged")
    async with icefloe("serve", "--tls-self-signed", XDG_CACHE_HOME=str(tmp_path)) as running:
        assert await _get(running.url, kept) == 200


async def test_where_nothing_can_be_kept_the_error_says_so(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    code, _, err = await run(
        "serve", "--port", "0", "--tls-self-signed", XDG_CACHE_HOME=str(blocker)
    )
    assert code == 1
    assert "--tls-cert" in err
    assert "Traceback" not in err


async def _get(url: str, certificate: Path | None = None) -> int:
    context = ssl.create_default_context(cafile=str(certificate)) if certificate else None

    def get() -> int:
        with urllib.request.urlopen(url, context=context, timeout=10) as response:
            status: int = response.status
            return status

    return await asyncio.to_thread(get)
