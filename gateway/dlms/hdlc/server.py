"""What an HDLC server (secondary station) does with each command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.dlms.hdlc.frame import (
    POLL_FINAL,
    Frame,
    FrameType,
    Reject,
    encode_frame,
    encode_reject,
)
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.states import State, Step
from gateway.dlms.hdlc.station import Station
from gateway.dlms.link import LinkClosed, LinkEvent, LinkOpened

_RESPONSES = frozenset({FrameType.UA, FrameType.DM, FrameType.FRMR})


def take(station: Station, frame: Frame) -> LinkEvent | None:
    """Act on one frame sent to this station; raise RemoteProtocolError (parameters, limits)."""
    kind = frame.type
    if kind is FrameType.SNRM:
        return _on_snrm(station, frame)
    if kind is FrameType.UI:
        return station.on_unnumbered_information(frame)
    if kind in _RESPONSES:
        return None  # no command: nothing to answer
    if station.state is State.DISCONNECTED or frame.source != station.client:
        # Answered to the one who asked, who need not be the client that is connected.
        control = FrameType.DM.value | POLL_FINAL
        station.outgoing.append(encode_frame(frame.source + station.server, control))
        return None
    if kind not in _HANDLERS:
        return _refuse(station, frame, Reject.UNDEFINED_CONTROL)
    return _HANDLERS[kind](station, frame)


def _on_snrm(station: Station, frame: Frame) -> LinkEvent | None:
    """Begin a connection, whatever was before."""
    station.reset(HdlcParameters.decode(frame.information))
    station.client = frame.source
    station.step(Step.SNRM_RECEIVED)
    station.outgoing.append(station.frame(FrameType.UA.value, station.agreed.encode()))
    return LinkOpened()


def _on_disc(station: Station, frame: Frame) -> LinkEvent | None:
    station.step(Step.DISC_RECEIVED)
    station.outgoing.append(station.frame(FrameType.UA.value))
    return LinkClosed("disconnected")


def _on_information(station: Station, frame: Frame) -> LinkEvent | None:
    if frame.send_sequence != station.receive_sequence:
        if station.takes_turn(frame):
            _answer_again(station, frame)
        return None
    if station.acknowledge(frame) != 0:
        return _refuse(station, frame, Reject.INVALID_RECEIVE_SEQUENCE)
    return station.accept(frame)


def _answer_again(station: Station, frame: Frame) -> None:
    """The turn came with an I frame that is not expected: not taken, but answered."""
    if (
        station.state is State.RECEIVING
        or station.is_after_gap(frame)
        or not station.is_repetition(frame)
    ):
        station.outgoing.append(station.receive_ready())
    elif station.outstanding:
        station.go_on()  # the client did not see the answer
    # Otherwise the application has not answered yet, or the frame is of an earlier connection.


def _on_ready(station: Station, frame: Frame) -> LinkEvent | None:
    """RR, REJ: go on, go back to N(R), or just a sign of life."""
    left = station.acknowledge(frame)
    if left is None:
        return _refuse(station, frame, Reject.INVALID_RECEIVE_SEQUENCE)
    if station.takes_turn(frame):
        if left or station.state is State.SENDING:
            station.go_on()
        else:
            station.outgoing.append(station.receive_ready())
    return None


def _on_not_ready(station: Station, frame: Frame) -> LinkEvent | None:
    """RNR: the client takes nothing now; say that this side lives."""
    if station.acknowledge(frame) is None:
        return _refuse(station, frame, Reject.INVALID_RECEIVE_SEQUENCE)
    if station.takes_turn(frame):
        station.outgoing.append(station.receive_ready())
    return None


def _refuse(station: Station, frame: Frame, reason: Reject) -> LinkEvent | None:
    """FRMR: what repetition cannot mend ends the connection."""
    information = encode_reject(
        frame.control, station.send_sequence, station.receive_sequence, reason
    )
    station.step(Step.FRMR_SENT)
    station.outgoing.append(station.frame(FrameType.FRMR.value, information))
    return LinkClosed(f"frame rejected: {(reason.name or '').lower().replace('_', ' ')}")


_HANDLERS: Final[Mapping[FrameType | None, Callable[[Station, Frame], LinkEvent | None]]] = {
    FrameType.DISC: _on_disc,
    FrameType.I: _on_information,
    FrameType.RR: _on_ready,
    FrameType.REJ: _on_ready,
    FrameType.RNR: _on_not_ready,
}
