"""From a firmware profile's words to settings of the DLMS core: times, links, patience."""

from __future__ import annotations

from gateway.dlms.association.client import ClientConnection
from gateway.dlms.association.datagrams import DatagramClientConnection
from gateway.dlms.association.settings import ClientSettings
from gateway.dlms.cosem_time import TimeRules, ZeroDate
from gateway.dlms.hdlc import HdlcAddress, HdlcLink, HdlcParameters
from gateway.dlms.link import Link, Role
from gateway.dlms.wrapper import DatagramWrapperLink, WrapperLink
from gateway.profile import FirmwareProfile, ProfileGeneric, Quirk, Stamp
from gateway.session import Timing
from gateway.url import TransportKind


def time_rules(profile: FirmwareProfile) -> TimeRules:
    """How the profile's meters mean their date-times."""
    time = profile.time
    return TimeRules(
        zone_minutes=time.zone_minutes,
        deviation_sign=time.deviation_sign,
        zero_date=ZeroDate(time.zero_date),
        use_deviation=time.use_deviation,
    )


def timing_of(profile: FirmwareProfile, kind: TransportKind) -> Timing:
    """How patient one has to be with the profile's meters on a wire of this kind."""
    link = profile.link
    timeout_ms = link.response_timeout_ms
    if kind.is_device:
        timeout_ms = min(timeout_ms, link.serial_timeout_ms)
    return Timing(answer_s=timeout_ms / 1000)


def stamped_before_s(generic: ProfileGeneric, period_s: int) -> int:
    """How long before its capture a row's clock stands."""
    return period_s if generic.stamp is Stamp.START else 0


def make_link(
    profile: FirmwareProfile, kind: TransportKind, client_sap: int, server_lower: int | None
) -> Link:
    """The data link of a meter on a wire of this kind, addressed as profile and site say."""
    link = profile.link
    if not kind.is_hdlc:
        server = link.server_upper if server_lower is None else server_lower
        wrapper = DatagramWrapperLink if kind is TransportKind.UDP else WrapperLink
        return wrapper(Role.CLIENT, client_wport=client_sap, server_wport=server)
    lower = link.server_lower if server_lower is None else server_lower
    octets = link.server_address_octets
    if lower is not None and octets == 1:
        # An address of two parts does not fit into one octet (Green Book 8.4.2.2).
        octets = 2 if link.server_upper < 0x80 and lower < 0x80 else 4
    frozen = Quirk.FROZEN_RECEIVE_SEQUENCE in profile.quirks
    return HdlcLink(
        Role.CLIENT,
        client=HdlcAddress(client_sap),
        server=HdlcAddress(link.server_upper, lower, length=octets),
        parameters=HdlcParameters(
            max_information_transmit=link.info_field_octets,
            max_information_receive=link.info_field_octets,
            window_transmit=1 if frozen else link.window,
            window_receive=link.window,
        ),
        tolerate_frozen_receive_sequence=frozen,
    )


def make_connection(kind: TransportKind, link: Link, settings: ClientSettings) -> ClientConnection:
    """The client of an association on a wire of this kind."""
    if kind is TransportKind.UDP:
        return DatagramClientConnection(link, settings)
    return ClientConnection(link, settings)
