"""Applies local and remote descriptions, each as one operation of the chain (RFC 9429)."""

import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from aiortc import (
    InvalidStateError,
    RTCBundlePolicy,
    RTCPeerConnection,
    RTCSessionDescription,
)

from .. import sdp
from .._aiortc import ConnectionAdapter, RemoteSections, read_sections
from ..errors import InvalidDescription
from ..sdp.steps import Turns, in_turns
from .context import Context
from .descriptions import Descriptions
from .ice_restart import IceRestart
from .remote_candidates import RemoteTrickle

_FITTING_STATES = {
    "offer": ("stable", "have-local-offer", "have-remote-offer"),
    "answer": ("have-local-offer", "have-remote-pranswer"),
    "pranswer": ("have-local-offer", "have-remote-pranswer"),
}
"""The values of ``signalingState`` in which each type of remote description may come."""


@contextmanager
def _reported_as_invalid() -> Iterator[None]:
    """Report as an error of the description whatever aiortc raises for it within the block.

    aiortc takes for granted what RFC 8866 and RFC 9429 ask for.
    """
    try:
        yield
    except (AssertionError, AttributeError, LookupError, TypeError) as error:
        raise InvalidDescription(f"aiortc cannot apply it: {error!r}") from error


class DescriptionApplier:
    """Brings a description to the transceivers, transports and ICE agents that it is about.

    Args:
        connection: The connection.
        context: Its configuration.
        adapter: Its adapter.
        descriptions: Its descriptions.
        remote_candidates: The candidates of the remote peer.
        ice_restart: Its ICE restarts.
        set_local: ``setLocalDescription`` of aiortc.
    """

    def __init__(
        self,
        connection: RTCPeerConnection,
        context: Context,
        adapter: ConnectionAdapter,
        descriptions: Descriptions,
        remote_candidates: RemoteTrickle,
        ice_restart: IceRestart,
        *,
        set_local: Callable[[RTCSessionDescription], Coroutine[Any, Any, None]],
    ) -> None:
        self._connection = connection
        self._context = context
        self._adapter = adapter
        self._descriptions = descriptions
        self._remote_candidates = remote_candidates
        self._ice_restart = ice_restart
        self._set_local = set_local

    async def apply_local(self, description: RTCSessionDescription) -> None:
        """Apply an offer or answer made here.

        Raises:
            InvalidDescription: It is malformed, or not one of this connection's.
            InvalidStateError: It does not fit the state, or the connection is closed.
        """
        kind, text = description.type, description.sdp
        descriptions = self._descriptions
        if not descriptions.is_as_made(description):
            await in_turns(sdp.reading(text, answer=kind != "offer", most=sys.maxsize))
        inward = RTCSessionDescription(descriptions.layout.without_unused_sections(text), kind)
        layout = descriptions.layout
        if kind == "offer":
            layout = layout.extended(text)
        fragments = sdp.fragments(text)
        await Turns().after(text.count("\n"))  # before aiortc reads it once more
        self._ice_restart.adopt_offered(fragments)
        self._ice_restart.watch_addresses()
        with _reported_as_invalid():
            await self._set_local(inward)
        descriptions.layout = layout
        if kind == "answer":
            self._adapter.begin_checks()  # in this operation: the next may be another restart
            await descriptions.drop_unused_channels()

    async def apply_remote(self, description: RTCSessionDescription) -> None:
        """Apply an offer or answer of the remote peer.

        Raises:
            InvalidDescription: It is malformed; the connection is as it was.
            InvalidStateError: It does not fit the state, or the connection is closed.
            OperationError: An answer accepts a section without a codec that both sides know.
        """
        kind = description.type
        self._check_state(kind)
        answer = kind != "offer"
        # This side may have offered more sections than it takes.
        most = max(sdp.SECTIONS, len(self._descriptions.layout.slots))
        read = await in_turns(sdp.reading(description.sdp, answer=answer, most=most))
        decide = sdp.plan_answer if answer else sdp.plan_offer
        plan = await in_turns(decide(read, self._descriptions.offered(kind)))
        with _reported_as_invalid():
            remote = await in_turns(read_sections(kind, plan.session, plan.sections))
        self._check_state(kind)  # it may be closed by now
        if kind == "offer" and self._ice_restart.is_restart(plan.fragments):
            await self._ice_restart.wait_for_budget()
            self._check_state(kind)
        # From here on nothing is wrong with it, and all waiting is to the end of what it waits for.
        if kind == "offer" and self._connection.signalingState == "have-local-offer":
            await self._descriptions.roll_back("have-local-offer")
        was_stable = self._connection.signalingState == "stable"
        try:
            await self._apply(plan, remote, kind)
        except BaseException:
            if was_stable and self._connection.signalingState != "closed":
                await self._descriptions.restore(remote=True)
            raise
        await self._descriptions.take_rejections(plan.rejected)
        if kind == "answer":
            await self._descriptions.drop_unused_channels()
        await self._remote_candidates.take_described(set(plan.fragments.values()), plan.candidates)

    def _check_state(self, kind: str) -> None:
        state = self._connection.signalingState
        if state not in _FITTING_STATES[kind]:
            raise InvalidStateError(f'Cannot handle {kind} in signaling state "{state}"')

    async def _apply(self, plan: "sdp.Plan", remote: RemoteSections, kind: str) -> None:
        adapter, descriptions, sections = self._adapter, self._descriptions, self._adapter.sections
        is_first = adapter.latest("Remote") is None
        policy = self._context.configuration.bundlePolicy
        if plan.policy is not None and kind == "offer":
            policy = plan.policy
            if is_first:
                sections.separate(by_kind=policy is RTCBundlePolicy.BALANCED)
        sections.place(plan.layout.mids())
        sections.mark_bundled(one_transport=policy is RTCBundlePolicy.MAX_BUNDLE)
        self._ice_restart.adopt_remote(plan.fragments, kind)
        if plan.drops is not None and kind != "offer":
            descriptions.remove_from_offer(plan.drops)
        with _reported_as_invalid(), sections.bundling(policy):
            await sections.apply(remote)
        descriptions.layout = plan.layout
        sections.take_mids(slot.mid for slot in plan.layout.slots)
        descriptions.note_extensions(plan)
        sections.forget_remote_of(plan.rejected)
        if kind == "answer":
            adapter.begin_checks()  # in this operation: the next may be another restart
        elif kind == "pranswer":
            adapter.enter_signaling_state("have-remote-pranswer")
