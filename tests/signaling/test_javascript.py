"""``icefloe.js`` as a file: its size, its types, how it is served and published."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from icefloe.signaling import SignalingServer
from tests.helpers.node import FOLDER
from tests.signaling.test_http import request

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "signaling" / "javascript"
MODULE = PACKAGE / "icefloe.js"
PAGES = sorted(
    path
    for path in (ROOT / "signaling").rglob("*.js")
    if "vendor" not in path.parts and "node_modules" not in path.parts
)
MOST = 30_000
"""Bytes of the minified module."""


def node(package: str, program: str, *arguments: str | Path) -> str:
    """Run a program of an npm package; return what it prints."""
    path = FOLDER / "node_modules" / package / "bin" / program
    command = ["node", str(path), *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.system("terser")
def test_the_minified_module_is_small() -> None:
    options = ("--module", "--ecma", "2022", "--compress", "passes=3", "--mangle")
    minified = node("terser", "terser", MODULE, *options)
    assert len(minified.encode()) < MOST


@pytest.mark.system("typescript")
def test_its_types_are_strict_and_the_declarations_are_those_of_its_comments(
    tmp_path: Path,
) -> None:
    node("typescript", "tsc", "-p", PACKAGE / "tsconfig.json", "--outDir", tmp_path)
    made = (tmp_path / "icefloe.d.ts").read_text("utf-8")
    assert (PACKAGE / "icefloe.d.ts").read_text("utf-8") == made


@pytest.mark.system("typescript")
def test_a_typescript_program_may_use_it(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "node_modules" / "icefloe")
    (tmp_path / "use.ts").write_text(
        """
        import { join, JoinRefused, type RemotePeer, type DataChannel } from "icefloe";
        async function talk(peer: RemotePeer): Promise<string> {
          const channel: DataChannel = await peer.openChannel("chat", { ordered: false });
          for await (const message of channel) console.log(message.length);
          const path: string | null = peer.path;
          return path ?? (await peer.ended());
        }
        const room = await join("ws", { room: "lobby", name: "page", token: async () => "t" });
        room.attend(talk).catch((error: unknown) => {
          if (error instanceof JoinRefused) console.log(error.code.length);
        });
        // @ts-expect-error the room needs a name
        await join("ws", { room: "lobby" });
        """,
        "utf-8",
    )
    options = "--strict --noEmit --target es2022 --module es2022 --moduleResolution bundler"
    libraries = ("--lib", "es2024,dom,dom.iterable")
    node("typescript", "tsc", *options.split(), *libraries, tmp_path / "use.ts")


def test_the_package_has_the_version_of_the_project_and_needs_nothing() -> None:
    package = json.loads((PACKAGE / "package.json").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert package["version"] == project["version"]
    assert not {key for key in package if "dependencies" in key.lower()}
    assert {name for name in package["files"] if not (PACKAGE / name).exists()} == set()
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert "import " not in re.sub(r"/\*.*?\*/|//[^\n]*", "", MODULE.read_text("utf-8"), flags=re.S)


async def test_the_server_serves_it_to_pages_of_all_origins(server: SignalingServer) -> None:
    answer = await request(server, "/icefloe.js")
    assert (answer.status, answer.body) == (200, MODULE.read_bytes())
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-cache"
    assert "access-control-allow-origin" not in (await request(server, "/")).headers
    assert (await request(server, "/icefloe.d.ts")).status == 404


async def test_a_browser_that_has_it_does_not_get_it_again(server: SignalingServer) -> None:
    tag = (await request(server, "/icefloe.js")).headers["etag"]
    again = await request(server, "/icefloe.js", fields=f"If-None-Match: {tag}\r\n")
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == tag
    other = await request(server, "/icefloe.js", fields='If-None-Match: "other"\r\n')
    assert other.status == 200
    assert (await request(server, "/main.js")).headers["etag"] != tag


def test_the_pages_have_no_signaling_of_their_own() -> None:
    own = re.compile(r"new WebSocket|setRemoteDescription|addIceCandidate|onnegotiationneeded")
    assert [path.name for path in PAGES if own.search(path.read_text("utf-8"))] == ["icefloe.js"]


def test_foreign_text_is_never_taken_for_markup() -> None:
    markup = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function"
        r"|createContextualFragment|setHTML|srcdoc"
    )
    assert len(PAGES) > 30
    assert [path.name for path in PAGES if markup.search(path.read_text("utf-8"))] == []
