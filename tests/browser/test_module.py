"""``icefloe.js`` in a real browser: with another page, and with ``icefloe.peer``."""

import asyncio
import hashlib
import subprocess
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest
from playwright.async_api import Browser

from icefloe.media import TestPatternTrack
from icefloe.peer import RequestFailed, join
from icefloe.signaling import Limits, ServerConfiguration, TokenKeys, make_token, serve
from tests.browser.test_server_restart import serve_again
from tests.helpers.calls import eventually
from tests.helpers.command import icefloe
from tests.helpers.module_page import ModulePage, open_module
from tests.helpers.system import find

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium"), pytest.mark.timeout(150)]

ROUNDS = 10
MESSAGE = 65_536
COUNT = 320
"""Messages each way: 20 MiB."""

_COUNT_COLLISIONS = """
  window.collisions = 0;
  const real = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    if (description.type === "offer" && this.signalingState === "have-local-offer") collisions += 1;
    return real.call(this, description);
  };
"""

_TRACK = """
  const track = (colour) => {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: 160, height: 120 });
    const drawing = canvas.getContext("2d");
    setInterval(() => {
      drawing.fillStyle = colour;
      drawing.fillRect(0, 0, 160, 120);
    }, 50);
    return canvas.captureStream(20).getVideoTracks()[0];
  };
"""

_COLOUR = """
  const video = Object.assign(document.createElement("video"), { muted: true, srcObject: stream });
  await video.play();
  const drawing = new OffscreenCanvas(4, 4).getContext("2d");
  for (;;) {
    await new Promise((done) => video.requestVideoFrameCallback(done));
    drawing.drawImage(video, 0, 0, 4, 4);
    const [red, green, blue] = drawing.getImageData(0, 0, 1, 1).data;
    const most = Math.max(red, green, blue);
    if (most > 60 && most === { red, green, blue }[given]) return;
  }
"""


async def two(browser: Browser, server: Any) -> tuple[ModulePage, ModulePage]:
    """Connect two pages, ``alice`` and ``bob``; alice was first, and is polite."""
    alice, bob = await open_module(browser), await open_module(browser)
    for each in (alice, bob):
        await each.page.add_init_script(_COUNT_COLLISIONS)
    url = server if isinstance(server, str) else server.page_url
    await alice.join(url, "alice")
    await bob.join(url, "bob")
    await alice.connected("bob")
    await bob.connected("alice")
    return alice, bob


async def test_offers_of_two_pages_that_cross_are_sorted_out(browser: Browser) -> None:
    async with serve(port=0) as server:
        alice, bob = await two(browser, server)
        change = f"""
          {_TRACK}
          const other = await peer(given[0]);
          if (given[1] % 2) other.removeTrack(window.sender);
          else window.sender = other.addTrack(track("red"));
          await other.negotiated();
          return other.connection.signalingState;
        """
        for number in range(ROUNDS):
            states = await asyncio.gather(
                alice.run(change, ["bob", number]), bob.run(change, ["alice", number])
            )
            assert list(states) == ["stable", "stable"]
        counted = [await each.run("return collisions;") for each in (alice, bob)]
        assert counted[0] > 0, "nothing collided, so nothing was tested"
        assert counted[1] == 0, "the impolite side ignores the other one's offers"
        await alice.run("(await (await peer('bob')).openChannel('chat')).send('after it all');")
        await bob.until("texts.includes('alice: after it all')")
        assert alice.complaints == bob.complaints == []


async def test_a_call_and_its_channels_go_on_after_the_server_was_killed(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(icefloe("serve"))
        alice, bob = await two(browser, server.url)
        hold = "window.held = await peer(given); window.seat = room.id;"
        await alice.run(hold, "bob")
        await bob.run(hold, "alice")
        await serve_again(server, stack)
        for each in (alice, bob):
            await each.until("room.state === 'joined' && room.id !== seat && !held.away")
            assert await each.run("return [held.state, held.hasEnded, room.peers.length];") == [
                "connected",
                False,
                1,
            ]
            assert await each.run("return room.peers[0] === held && held.id !== seat;")
        await alice.run("(await held.openChannel('chat')).send('still there?');")
        await bob.until("texts.includes('alice: still there?')")
        # Negotiation goes over the new seats.
        await alice.run(f"{_TRACK} held.addTrack(track('red')); await held.negotiated();")
        await bob.until("held.stream.getVideoTracks().length === 1")


async def test_a_call_with_python_goes_on_after_the_server_was_killed(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(icefloe("serve"))
        page = await open_module(browser)
        await page.join(server.url, "alice")
        url = f"{server.url.replace('http', 'ws')}ws"
        async with join(url, room="lobby", name="python") as room:
            peers = aiter(room)
            first = await anext(peers)
            await first.connected()
            await page.connected("python")
            chat = await first.open_channel("chat")
            await page.run("window.held = await peer('python');")
            before = first.id
            await serve_again(server, stack)
            await eventually(lambda: first.id != before)
            await page.until("room.peers.length === 1 && room.peers[0] === held")
            assert not first.has_ended
            await chat.send("still here")
            await page.until("texts.includes('python: still here')")
            # Negotiation goes over the new seats.
            first.add_track(TestPatternTrack(160, 120))
            await page.until("held.stream.getVideoTracks().length === 1 && !held.hasEnded")


async def test_a_seat_is_resumed_when_the_socket_breaks_and_what_was_sent_arrives(
    browser: Browser,
) -> None:
    async with serve(port=0) as server:
        alice, bob = await open_module(browser), await open_module(browser)
        await alice.page.add_init_script(
            """
              window.sockets = [];
              const Real = WebSocket;
              window.WebSocket = class extends Real {
                constructor(...all) { super(...all); sockets.push(this); }
              };
            """
        )
        await alice.join(server, "alice")
        await bob.join(server, "bob")
        await bob.run(
            "window.heard = [];"
            "room.addEventListener('message', ({ detail }) => heard.push(detail.data));"
        )
        await alice.connected("bob")
        seat = await alice.run("return room.id;")
        await alice.run(
            """
              const { id } = await peer("bob");
              sockets.at(-1).close(4001);
              for (let data = 0; data < 20; data += 1) {
                room.client.send({ type: "message", to: id, data });
              }
            """
        )
        await bob.until("heard.length === 20")
        assert await bob.run("return heard;") == list(range(20))
        assert await alice.run("return [room.id, room.state, sockets.length];") == [
            seat,
            "joined",
            2,
        ]


@contextmanager
def no_datagrams() -> Iterator[None]:
    """Drop all datagrams in the network namespace of this run."""
    nft = find("nft")
    assert nft is not None
    rules = (
        "add table inet cut",
        "add chain inet cut in { type filter hook input priority 0; policy accept; }",
        "add rule inet cut in meta l4proto udp drop",
    )
    for rule in rules:
        subprocess.run([nft, rule], check=True)
    try:
        yield
    finally:
        subprocess.run([nft, "delete table inet cut"], check=True)


@pytest.mark.system("nftables", "netns")
async def test_ice_is_restarted_when_the_path_is_cut(browser: Browser) -> None:
    async with serve(port=0) as server:
        alice, bob = await two(browser, server)
        for each, name in ((alice, "bob"), (bob, "alice")):
            await each.run(
                """
                  window.held = await peer(given);
                  window.states = [];
                  held.addEventListener("change", () => {
                    if (states.at(-1) !== held.state) states.push(held.state);
                  });
                  window.fragment = () =>
                    held.connection.localDescription.sdp.match(/a=ice-ufrag:(.*)/)[1];
                  window.before = fragment();
                """,
                name,
            )
        with no_datagrams():
            for each in (alice, bob):
                await each.until("states.includes('disconnected') && fragment() !== before")
        for each in (alice, bob):
            await each.until("states.at(-1) === 'connected'")
            assert await each.run("return held.hasEnded;") is False
        await alice.run("(await held.openChannel('chat')).send('over the new path');")
        await bob.until("texts.includes('alice: over the new path')")


async def test_sending_waits_while_much_waits_and_nothing_is_lost(browser: Browser) -> None:
    async with serve(port=0) as server:
        page = await open_module(browser)
        await page.join(server, "alice")
        async with join(server.url, room="lobby", name="python") as room:
            peer = await room.peer("alice")
            bulk, _ = await asyncio.gather(
                peer.open_channel("bulk"),
                page.run(
                    """
                      window.bulk = await (await peer("python")).openChannel("bulk");
                      window.most = window.done = 0;
                    """
                ),
            )
            digest = hashlib.sha256()
            for number in range(COUNT):
                digest.update(bytes([number % 256]) * MESSAGE)
            sending = asyncio.create_task(
                page.run(
                    """
                      for (; done < given[0]; done += 1) {
                        await bulk.send(new Uint8Array(given[1]).fill(done));
                        most = Math.max(most, bulk.bufferedAmount);
                      }
                      await bulk.drain();
                    """,
                    [COUNT, MESSAGE],
                )
            )
            # Nobody reads: the page stops at what the window and its own buffer take.
            await page.until("most >= 2 ** 20")
            await asyncio.sleep(1)
            stopped = await page.run("return done;")
            assert stopped * MESSAGE < 12 * 2**20
            got = hashlib.sha256()
            for _ in range(COUNT):
                message = await bulk.receive()
                assert isinstance(message, bytes)
                got.update(message)
            await sending
            assert got.digest() == digest.digest()
            assert await page.run("return most;") < 2**20 + MESSAGE
            # Many callers at once keep their order.
            await page.run(
                "await Promise.all(Array.from({ length: 200 }, (_, n) => bulk.send(String(n))));"
            )
            assert [await bulk.receive() for _ in range(200)] == [str(n) for n in range(200)]
            assert page.complaints == []


async def test_requests_go_both_ways_between_python_and_a_page(browser: Browser) -> None:
    async with serve(port=0) as server:
        page = await open_module(browser)
        await page.join(server, "alice")
        async with join(server.url, room="lobby", name="python") as room:
            peer = await room.peer("alice")
            channel = await peer.open_channel("questions")
            cancelled = asyncio.Event()

            async def answer(query: Any) -> Any:
                if query == "wait":
                    try:
                        await asyncio.Event().wait()
                    finally:
                        cancelled.set()
                if query == "no":
                    raise RequestFailed("unknown", "there is none")
                return {"got": query}

            serving = asyncio.create_task(channel.serve_requests(answer))
            result = await page.run(
                """
                  window.questions = await (await peer("python")).openChannel("questions");
                  const words = ({ name, code, message }) => [name, code, message];
                  const failed = (work) => work.then(() => null, words);
                  const found = [
                    await questions.request({ some: ["thing"] }),
                    await failed(questions.request("no")),
                    await failed(questions.request("wait", { timeout: 50 })),
                    await Promise.all([1, 2, 3].map((n) => questions.request(n))),
                    await failed(questions.receive()),
                  ];
                  window.serving = questions.serveRequests(async (value, signal) => {
                    if (value === "wait") {
                      await new Promise((done) => signal.addEventListener("abort", done));
                      window.aborted = true;
                    }
                    if (value === "no") throw new icefloe.RequestFailed("unknown", "there is none");
                    if (value === "fault") throw new TypeError("a fault of the handler");
                    return { doubled: value * 2 };
                  });
                  return found;
                """
            )
            assert result[0] == {"got": {"some": ["thing"]}}
            assert result[1] == [
                "RequestFailed",
                "unknown",
                "the request failed (unknown): there is none",
            ]
            assert result[2][:2] == ["RequestTimeout", "request-timeout"]
            assert result[3] == [{"got": 1}, {"got": 2}, {"got": 3}]
            assert result[4][1] == "channel-misused"
            await cancelled.wait()
            assert await channel.request(21) == {"doubled": 42}
            with pytest.raises(RequestFailed) as refused:
                await channel.request("no")
            assert (refused.value.code, refused.value.reason) == ("unknown", "there is none")
            with pytest.raises(RequestFailed) as failed:
                await channel.request("fault")
            assert (failed.value.code, failed.value.reason) == ("error", "TypeError")
            with pytest.raises(TimeoutError):
                await channel.request("wait", timeout=0.1)
            await page.until("window.aborted")
            await channel.aclose()
            await serving
            await page.run("await serving;")


async def test_errors_have_the_codes_of_python_and_say_what_to_do(browser: Browser) -> None:
    keys = TokenKeys("s" * 32)
    limits = Limits(members=2)
    refused = """
      const [options, url] = given;
      try {
        const named = { room: "lobby", name: "alice", rename: false, ...options };
        await icefloe.join(url ?? "/ws", named);
      } catch (error) {
        return [error.name, error.code, error.message, error instanceof icefloe.SignalingError];
      }
    """
    async with serve(port=0, configuration=ServerConfiguration(limits=limits)) as server:
        page = await open_module(browser)
        await page.load(server)
        name, code, message, is_ours = await page.run(refused, [{"name": ""}, None])
        assert (name, code, is_ours) == ("JoinRefused", "bad-message", True)
        name, code, message, _ = await page.run(refused, [{}, "ftp://nowhere"])
        assert (name, code) == ("InvalidUrl", "invalid-url")
        assert "ws://host:8080/ws" in message
        name, code, message, _ = await page.run(refused, [{}, "ws://127.0.0.1:9/ws"])
        assert (name, code) == ("Unreachable", "unreachable")
        assert "Check its address" in message
        async with join(server.url, room="lobby", name="alice"):
            name, code, message, _ = await page.run(refused, [{}, None])
            assert (name, code) == ("JoinRefused", "name-taken")
            assert "Take another name" in message
            await page.run(
                "const options = { room: 'lobby', name: 'alice' };"
                "window.room = await icefloe.join('/ws', options);"
            )
            assert await page.run("return room.name;") == "alice-2"
            name, code, message, _ = await page.run(refused, [{"name": "third"}, None])
            assert (name, code) == ("JoinRefused", "room-full")
            assert "Try later" in message
            missing = await page.run(
                "const words = ({ code, message }) => [code, message];"
                "return room.peer('nobody', { timeout: 10 }).catch(words);"
            )
            assert missing == ["peer-not-here", "“nobody” is not in the room (not within 10 ms)"]
            await page.run("room.leave();")
    async with serve(port=0, configuration=ServerConfiguration(token_keys=keys)) as server:
        page = await open_module(browser)
        await page.load(server)
        assert (await page.run(refused, [{}, None]))[:2] == ["JoinRefused", "token-missing"]
        expired = make_token(keys, room="lobby", seconds=1, now=1e9)
        name, code, message, _ = await page.run(refused, [{"token": expired}, None])
        assert code == "token-expired"
        assert "Ask for a new token" in message
        failing = await page.run(
            """
              const token = async () => { throw new Error("no network"); };
              return icefloe.join("/ws", { room: "lobby", name: "alice", token })
                .catch(({ name, code, message }) => [name, code, message]);
            """
        )
        assert failing[:2] == ["TokenUnavailable", "token-unavailable"]
        assert "no network" in failing[2]


async def test_a_moderator_removes_locks_hands_over_and_closes(browser: Browser) -> None:
    keys = TokenKeys("s" * 32)

    def token(*rights: str) -> str:
        return make_token(keys, room="lobby", rights=("join", "send", *rights))

    async with serve(port=0, configuration=ServerConfiguration(token_keys=keys)) as server:
        host, guest = await open_module(browser), await open_module(browser)
        await host.load(server)
        await host.page.evaluate(
            "(given) => { window.hold = () => {}; window.given = async () => given; }",
            token("moderate"),
        )
        await host.page.evaluate(
            """async () => {
              const options = { room: "lobby", name: "host", token: given };
              window.room = await icefloe.join("/ws", options);
              room.attend(() => {});
            }"""
        )
        await guest.join(server, "guest", token=token())
        assert await guest.run("return [...room.rights].sort();") == ["join", "send"]
        assert await guest.run("return room.lock().catch(({ name, code }) => [name, code]);") == [
            "ModerationRefused",
            "not-allowed",
        ]
        await host.run(
            """
              window.locked = [];
              room.addEventListener("locked", ({ detail }) => locked.push(detail));
              await peer("guest");
              await room.lock();
              await room.unlock();
            """
        )
        await host.until("locked.join() === 'true,false'")
        assert await host.run("return room.remove('nobody').catch(({ code }) => code);") == (
            "peer-not-here"
        )
        await host.run("await room.handOver('guest');")
        await guest.until("room.rights.has('moderate')")
        await guest.run("window.last = await peer('host'); await room.handOver('host');")
        await host.run("await room.remove('guest');")
        assert await guest.run("const { name, code } = await over; return [name, code];") == [
            "RemovedFromRoom",
            "removed",
        ]
        assert await guest.run("return last.ended();") == "removed"
        assert await guest.run("return room.lock().catch(({ name }) => name);") == "SignalingClosed"
        late = await open_module(browser)
        await late.join(server, "late", token=token())
        await host.run("await peer('late'); await room.closeRoom();")
        assert await late.run("const { name, code } = await over; return [name, code];") == [
            "RoomClosed",
            "room-closed",
        ]


async def test_tracks_are_replaced_and_statistics_tell_the_path(browser: Browser) -> None:
    async with serve(port=0) as server:
        alice, bob = await two(browser, server)
        await alice.run(
            f"""
              {_TRACK}
              window.track = track;
              window.sender = (await peer("bob")).addTrack(track("red"));
            """
        )
        seen = f"""
          const other = await peer("alice");
          while (other.stream.getVideoTracks().length === 0) {{
            await new Promise((go) => other.addEventListener("change", go, {{ once: true }}));
          }}
          const {{ stream }} = other;
          {_COLOUR}
        """
        await bob.run(seen, "red")
        await alice.run("await (await peer('bob')).replaceTrack(sender, track('blue'));")
        await bob.run(seen, "blue")
        path, pair, kinds = await bob.run(
            """
              const other = await peer("alice");
              const report = await other.connection.getStats();
              const kinds = new Set([...report.values()].map(({ type }) => type));
              return [other.path, await other.selectedPair(), [...kinds]];
            """
        )
        assert path.startswith("host/udp -> ")
        assert path.endswith(", direct")
        assert (pair["local"]["type"], pair["relayed"]) == ("host", False)
        assert "inbound-rtp" in kinds
        counts = await bob.run(
            """
              const chat = await (await peer("alice")).openChannel("chat");
              await chat.send("12345");
              return chat.counts;
            """
        )
        assert (counts["sent"], counts["bytesSent"]) == (1, 5)
        kind = await bob.run(
            "for await (const { kind } of (await peer('alice')).tracks()) return kind;"
        )
        assert kind == "video"
        await alice.run("(await peer('bob')).hangUp();")
        await bob.until("room.peers.length === 0")
        assert alice.complaints == bob.complaints == []


async def test_python_sends_pictures_and_a_page_that_may_not_send_is_refused(
    browser: Browser,
) -> None:
    keys = TokenKeys("s" * 32)
    async with serve(port=0, configuration=ServerConfiguration(token_keys=keys)) as server:
        page = await open_module(browser)
        given = make_token(keys, room="lobby", rights=("join", "send"))
        await page.join(server, "alice", token=given)
        quiet_token = make_token(keys, room="lobby", rights=("join",))
        track = TestPatternTrack(160, 120, 10)
        async with (
            join(server.url, room="lobby", name="loud", token=given) as loud,
            join(server.url, room="lobby", name="quiet", token=quiet_token) as quiet,
        ):
            for room in (loud, quiet):
                peer = await room.peer("alice")
                peer.add_track(track)
                await peer.connected()
            await page.until(
                "room.peers.find(({ name }) => name === 'loud').stream.getTracks().length"
            )
            assert await page.run(
                "const { maySend, stream } = await peer('quiet');"
                "return [maySend, stream.getTracks().length];"
            ) == [False, 0]
        track.stop()


async def test_what_is_not_read_is_bounded(browser: Browser) -> None:
    async with serve(port=0) as server:
        page = await open_module(browser)
        await page.join(server, "alice")
        async with join(server.url, room="lobby", name="python") as room:
            peer = await room.peer("alice")
            both = """
              const other = await peer("python");
              const receiveBuffer = 100_000;
              window.reliable = await other.openChannel("reliable", { receiveBuffer });
              window.lossy = await other.openChannel("lossy", { maxRetransmits: 5, receiveBuffer });
            """
            reliable, lossy, _ = await asyncio.gather(
                peer.open_channel("reliable"),
                peer.open_channel("lossy", max_retransmits=5),
                page.run(both),
            )
            for number in range(200):
                await lossy.send(f"{number:1000}")
            await page.until("lossy.counts.received + lossy.counts.dropped >= 150")
            await page.until("lossy.counts.dropped > 0")
            assert not lossy.closed
            for number in range(200):
                if reliable.closed_by is None:
                    await reliable.send(f"{number:1000}")
            await page.until("reliable.closed")
            got = await page.run(
                """
                  let count = 0;
                  try {
                    for await (const message of reliable) count += 1;
                  } catch ({ name, code, message }) {
                    return [count, name, code, message];
                  }
                """
            )
            assert 0 < got[0] <= 100_000 // 1100 + 1
            assert got[1:3] == ["ReceiveOverflow", "receive-overflow"]
            assert "receiveBuffer" in got[3]
