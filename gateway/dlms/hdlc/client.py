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


def ask_again(station: Station) -> None:
    """After silence. A window may have come in part: what the meter need not repeat is told."""
    station.gap_told = False
    if station.state is State.RECEIVING:
        station.send(station.receive_ready())
    else:
        if station.outstanding > 1:
            station.loss_told = False
        station.repeat()


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
        _on_other_information(station, frame)
        return None
    if station.state not in _EXPECTING:
        raise RemoteProtocolError(
            f"HDLC I frame without being asked, while {station.state.name.lower()}"
        )
    if station.acknowledge(frame) != 0:
        raise _wrong_acknowledgement(station, frame)
    return station.accept(frame)


def _on_other_information(station: Station, frame: Frame) -> None:
    """An I frame whose turn it is not: never taken, whatever it brings."""
    if station.is_after_gap(frame):
        if station.state in _EXPECTING and station.takes_turn(frame) and not station.gap_told:
            station.gap_told = True
            station.send(station.receive_ready())
    elif not station.is_repetition(frame):
        raise RemoteProtocolError(
            f"HDLC I frame with N(S) = {frame.send_sequence}, expected {station.receive_sequence}"
        )
    # A repetition is the answer to a frame sent twice. Even where it passes the turn, this side
    # has spoken since: to answer each copy would double all that follows.


def _on_supervisory(station: Station, frame: Frame) -> None:
    """RR: go on, go back to N(R), or no answer yet. RNR: busy. REJ: go back to N(R)."""
    if station.state not in _EXCHANGING:
        return  # late
    left = station.acknowledge(frame)
    if left is None:
        raise _wrong_acknowledgement(station, frame)
    if not station.takes_turn(frame):
        return
    if frame.type is FrameType.RNR:
        # Ask until it is not busy; ``Limits.fruitless_frames`` bounds that.
        station.loss_told = False  # it may have dropped what it was not ready for
        station.send(station.receive_ready())
    elif left:
        if not station.loss_told or frame.type is FrameType.REJ:
            station.go_on()
    elif station.state is State.SENDING:
        station.go_on()
    else:
        station.send(station.receive_ready())


def _wrong_acknowledgement(station: Station, frame: Frame) -> RemoteProtocolError:
    first, last = station.unacknowledged, station.send_sequence
    expected = f"{last}" if first == last or frame.type is FrameType.I else f"{first} to {last}"
    return RemoteProtocolError(
        f"HDLC N(R) = {frame.receive_sequence}, expected {expected}: the meter "
        "does not count what it received (tolerate_frozen_receive_sequence bears that)"
    )


_HANDLERS: Final[Mapping[FrameType | None, Callable[[Station, Frame], LinkEvent | None]]] = {
    FrameType.UA: _on_ua,
    FrameType.DM: _on_dm,
    FrameType.FRMR: _on_frmr,
    FrameType.I: _on_information,
    FrameType.RR: _on_supervisory,
    FrameType.RNR: _on_supervisory,
    FrameType.REJ: _on_supervisory,
    FrameType.UI: Station.on_unnumbered_information,
}
