"""Modules of the files page, called in a real browser, against what the command does."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page

from icefloe.peer.files.file_names import arrange, safe_name
from icefloe.peer.files.protocol import MAX_OFFER_BYTES, MAX_PATH_BYTES, Entry
from icefloe.peer.pairing.code_words import WORDS
from icefloe.peer.pairing.key_exchange import (
    Confirm,
    Fingerprints,
    Pairing,
    PairingCode,
    PairingSide,
    Pake,
)
from icefloe.signaling import serve

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

SDP = "v=0\r\na=fingerprint:sha-256 AB:CD\r\na=fingerprint:sha-384 01:02\r\n"


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with serve("127.0.0.1", 0) as server:
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{server.port}/files")
        yield page


async def pairing(page: Page, code: str, side: PairingSide) -> None:
    await page.evaluate(
        """async ([code, side]) => {
          const { Pairing } = await import("/files/pairing.js");
          window.pairing = new Pairing(code, side);
        }""",
        [code, str(side)],
    )


@pytest.mark.parametrize("side", PairingSide)
async def test_page_and_command_get_the_same_key(page: Page, side: PairingSide) -> None:
    for _ in range(5):
        code = PairingCode.make()
        own = Pairing(code, side.other)
        await pairing(page, str(code), side)
        confirm = own.receive(Pake(await page.evaluate("pairing.pake")))
        assert await page.evaluate("half => pairing.receive(half)", own.pake.data)
        assert await page.evaluate("mac => pairing.check(mac)", confirm.mac)
        own.check(Confirm(await page.evaluate("pairing.confirmation")))
        assert own.verify(Fingerprints(await page.evaluate("sdp => pairing.sign(sdp)", SDP)), SDP)
        verify = "([mac, sdp]) => pairing.verify(mac, sdp)"
        assert await page.evaluate(verify, [own.sign(SDP).mac, SDP])
        assert not await page.evaluate(verify, [own.sign(SDP).mac, SDP.replace("CD", "CE")])
        assert not await page.evaluate(verify, [None, SDP])
        # What the page itself said proves nothing to it.
        assert not await page.evaluate("sdp => pairing.verify(pairing.sign(sdp), sdp)", SDP)


HALVES = [
    "",
    "zz",
    "42",
    "42" + "00" * 32,
    "42" + "01" + "00" * 31,  # the neutral element
    "42" + "ec" + "ff" * 30 + "7f",  # of order 2
    "42" + "ed" + "ff" * 30 + "7f",  # not below the prime
    "42" + "07" + "00" * 31,
    "42c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # of order 8
    "42" + "58" + "66" * 31 + "66",  # a byte too many
    "41" + "58" + "66" * 31,  # from the same side
    "53" + "58" + "66" * 31,
]


async def test_what_is_no_half_is_refused(page: Page) -> None:
    await pairing(page, "7-amber-falcon", PairingSide.SENDER)
    for half in HALVES:
        assert not await page.evaluate("half => pairing.receive(half)", half), half
        assert not await page.evaluate("pairing.hasKey"), half


async def test_a_half_that_is_sent_back_is_refused(page: Page) -> None:
    await pairing(page, "7-amber-falcon", PairingSide.SENDER)
    assert not await page.evaluate("pairing.receive('42' + pairing.pake.slice(2))")


async def test_new_codes_are_codes(page: Page) -> None:
    made: list[str] = await page.evaluate(
        """async () => {
          const { makeCode } = await import("/files/code.js");
          return Array.from({ length: 300 }, makeCode);
        }"""
    )
    codes = [PairingCode.parse(code) for code in made]
    assert [str(code) for code in codes] == made
    assert all(1 <= code.place <= 999 for code in codes)
    assert len(set(made)) > 295


async def test_the_page_has_the_words_of_the_command(page: Page) -> None:
    told = await page.evaluate("async () => (await import('/files/code.js')).WORDS")
    assert tuple(told) == WORDS


NAMES = [
    "plain.txt",
    "e\u0301.txt",
    "日本 🐧",
    "a/b",
    "a\\b",
    'a:b*c?"<>|',
    "\x00\x07",
    "x\u202egpj.exe",
    "\u2066x",
    "\u2028",
    "\ue000",
    "NUL",
    "com1.txt",
    "lpt¹",
    "console",
    "end.",
    "end ",
    "...",
    "x" * 400,
    "日" * 200 + ".txt",
    "x" * 250 + "." + "y" * 40,
    ". " * 150,
    ".hidden",
]


async def test_awkward_names_are_what_the_command_makes_of_them(page: Page) -> None:
    script = "async (name) => (await import('/files/names.js')).safeName(name)"
    for name in NAMES:
        found = await page.evaluate(script, name)
        assert found == safe_name(name, windows=True)
        assert await page.evaluate(script, found) == found


async def test_names_are_told_apart_as_the_command_does_it(page: Page) -> None:
    names = [
        *("a/b", "a", "A", "a", "a (2)", "a/b", "a (2)", ".x", ".x", "n.tar.gz", "n.tar.gz"),
        *["same.txt"] * 3000,
        *["x" * 400] * 3,
        *["日" * 300 + ".txt"] * 3,
    ]
    script = "async (e) => (await import('/files/names.js')).arrange(e)"
    found = await page.evaluate(script, [{"path": name} for name in names])
    own = arrange([Entry(name, size=0) for name in names], case_sensitive=False, windows=True)
    assert [tuple(place) for place in found] == own


async def test_an_offer_is_bounded_before_anybody_is_asked(page: Page) -> None:
    script = """async ([path, most]) => {
      const { Receiver } = await import("/files/receiver.js");
      const { decodeFromSender } = await import("/files/protocol.js");
      const machine = new Receiver();
      for (let i = 0; i < most && machine.state !== "failed"; i += 1) {
        const entries = Array(50).fill({ path, size: 0, more: "x" });
        machine.receive(decodeFromSender(JSON.stringify({ type: "entries", entries })));
      }
      return [machine.state, machine.entries.length, "more" in machine.entries[0]];
    }"""
    for path in ("x" * MAX_PATH_BYTES, "日" * (MAX_PATH_BYTES // 3)):
        state, count, has_more = await page.evaluate(script, [path, 1000])
        assert (state, has_more) == ("failed", False)
        assert count * MAX_PATH_BYTES < MAX_OFFER_BYTES + 50 * MAX_PATH_BYTES
    for path in ("x" * (MAX_PATH_BYTES + 1), "日" * (MAX_PATH_BYTES // 3 + 1)):
        with pytest.raises(Error, match="cannot be read"):
            await page.evaluate(script, [path, 1])


OUTSIDE = ["..", "../x", "a/../../x", "/etc/passwd", "C:\\x", "C:/x", "a//b", ".", "a/.", "a/" * 70]


async def test_a_path_out_of_the_folder_is_refused(page: Page) -> None:
    codes = await page.evaluate(
        """async (paths) => {
          const { arrange } = await import("/files/names.js");
          return paths.map((path) => {
            try {
              return arrange([{ path }]);
            } catch (error) {
              return error.code;
            }
          });
        }""",
        OUTSIDE,
    )
    assert codes == ["unsafe-name"] * len(OUTSIDE)


_NONSENSE: list[Any] = [
    "",
    "[]",
    "null",
    "7",
    "{}",
    '{"type":"constructor"}',
    '{"type":"begin","index":-1,"offset":0}',
    '{"type":"begin","index":0,"offset":0.5}',
    '{"type":"begin","index":0,"offset":9007199254740993}',
    '{"type":"entries","entries":[{"path":""}]}',
    '{"type":"entries","entries":[{"path":"a","size":-1}]}',
    '{"type":"entries","entries":{"length":1}}',
    '{"type":"end","index":0,"size":1,"hash":"AB"}',
    '{"type":"accept"}',
    [],
    [0] * 12,
]


async def test_nonsense_of_a_sender_is_a_violation(page: Page) -> None:
    codes = await page.evaluate(
        """async (messages) => {
          const { decodeFromSender } = await import("/files/protocol.js");
          return messages.map((message) => {
            const told = typeof message === "string" ? message : Uint8Array.from(message).buffer;
            try {
              return decodeFromSender(told);
            } catch (error) {
              return error.code;
            }
          });
        }""",
        _NONSENSE,
    )
    assert codes == ["protocol"] * len(_NONSENSE)


TURNS = """async () => {
  const { Turns } = await import("/files/turns.js");
  const turns = new Turns();
  const done = [];
  const other = new MessageChannel();
  other.port1.onmessage = () => {
    done.push("page");
    if (done.length < 40) other.port2.postMessage(null);
  };
  other.port2.postMessage(null);
  for (const id of ["a", "b", "c", "d"]) turns.add(id, () => done.push(id));
  turns.add("b", () => done.push("b again"));
  turns.drop("c");
  await new Promise((resolve) => turns.add("last", resolve));
  turns.add("after", () => done.push("after"));
  turns.close();
  await new Promise((resolve) => setTimeout(resolve, 50));
  return done;
}"""


async def test_what_others_ask_for_is_done_in_turn_and_the_page_goes_on_between(page: Page) -> None:
    done = await page.evaluate(TURNS)
    assert [name for name in done if name != "page"] == ["a", "b again", "d"]
    assert "page" in done[done.index("a") : done.index("d")]
