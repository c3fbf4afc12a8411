"""What an HDLC client (primary station) does with each response."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.dlms.hdlc.frame import Frame, FrameType, describe_reject
from gateway.dlms.hdlc.parameters import HdlcParameters
from gateway.dlms.hdlc.states import State, Step
from gateway.dlms.hdlc.station import Station
from gateway.dlms.link import LinkClosed, LinkEvent, LinkOpened
from gateway.errors import PeerRefused, RemoteProtocolError

_STANDARD = HdlcParameters()
_APART: Final = frozenset({State.DISCONNECTED, State.CONNECTING, State.DISCONNECTING})
_EXPECTING: Final = frozenset({State.AWAITING, State.RECEIVING})
_EXCHANGING: Final = _EXPECTING | {State.SENDING}


def connect(station: Station) -> None:
    """Ask for the connection: SNRM."""
    station.step(Step.SNRM_SENT)
    # Without parameters SNRM means the standard's, and spares a slow line 23 octets.
    proposal = b"" if station.wanted == _STANDARD else station.wanted.encode()
    station.send(station.frame(FrameType.SNRM.value, proposal))


def disconnect(station: Station) -> None:
    """Ask for its end: DISC."""
    station.step(Step.DISC_SENT)
    station.send(station.frame(FrameType.DISC.value))


def take(station: Station, frame: Frame) -> LinkEvent | None:
    """Act on one frame of the server; raise PeerRefused or RemoteProtocolError."""
    handler = _HANDLERS.get(frame.type)
    if handler is None:
        raise RemoteProtocolError(
            f"HDLC control field {frame.control:02x} is no response of the DLMS profile"
        )
    return handler(station, frame)


def _on_ua(station: Station, frame: Frame) -> LinkEvent | None:
    if station.state is State.CONNECTING:
        station.reset(HdlcParameters.decode(frame.information))
        station.step(Step.UA_RECEIVED)
        return LinkOpened()
    if station.state is State.DISCONNECTING:
        station.step(Step.UA_RECEIVED)
        return LinkClosed("disconnected")
    return None  # the answer to a SNRM sent twice


def _on_dm(station: Station, frame: Frame) -> LinkEvent | None:
    if station.state is State.DISCONNECTED:
        return None
    wished = station.state is State.DISCONNECTING
    station.step(Step.DM_RECEIVED)
    if wished:
        return LinkClosed("disconnected")
    raise PeerRefused("HDLC", "disconnected mode")


def _on_frmr(station: Station, frame: Frame) -> LinkEvent | None:
    raise RemoteProtocolError(f"HDLC frame reject: {describe_reject(frame.information)}")


def _on_information(station: Station, frame: Frame) -> LinkEvent | None:
    if station.state in _APART:
        return None  # late, of a connection that is over
    if frame.send_sequence != station.receive_sequence:
        if station.is_repetition(frame):
            return None  # the answer to a frame sent twice; the first copy was taken
        raise RemoteProtocolError(
            f"HDLC I frame with N(S) = {frame.send_sequence}, expected {station.receive_sequence}"
        )
    if station.state not in _EXPECTING:
        raise RemoteProtocolError(
            f"HDLC I frame without being asked, while {station.state.name.lower()}"
        )
    _check_acknowledged(station, frame)
    return station.accept(frame)


def _on_ready(station: Station, frame: Frame) -> LinkEvent | None:
    """RR: the segment arrived, or no answer yet."""
    if _is_current(station, frame):
        if station.state is State.SENDING:
            station.send_segment()
        else:
            station.send(station.receive_ready())
    return None


def _on_not_ready(station: Station, frame: Frame) -> LinkEvent | None:
    """RNR: busy; ask until it is not (``Limits.fruitless_frames`` bounds that)."""
    if _is_current(station, frame):
        station.send(station.receive_ready())
    return None


def _is_current(station: Station, frame: Frame) -> bool:
    if station.state not in _EXCHANGING:
        return False  # late
    if not station.tolerant and station.acknowledges_all_but_last(frame):
        # The answer to a segment sent twice. Were the last one really lost, nothing would
        # have come: the server speaks only when it is asked.
        return False
    _check_acknowledged(station, frame)
    return True


def _check_acknowledged(station: Station, frame: Frame) -> None:
    if not station.acknowledges(frame):
        raise RemoteProtocolError(
            f"HDLC N(R) = {frame.receive_sequence}, expected {station.send_sequence}: the meter "
            "does not count what it received (tolerate_frozen_receive_sequence bears that)"
        )


_HANDLERS: Final[Mapping[FrameType | None, Callable[[Station, Frame], LinkEvent | None]]] = {
    FrameType.UA: _on_ua,
    FrameType.DM: _on_dm,
    FrameType.FRMR: _on_frmr,
    FrameType.I: _on_information,
    FrameType.RR: _on_ready,
    FrameType.RNR: _on_not_ready,
    FrameType.UI: Station.on_unnumbered_information,
}
