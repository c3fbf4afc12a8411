"""From a site's wires and listeners to the loops that read their meters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from gateway.config import Clocks, Listener, Meter, Site, Wire
from gateway.dlms.meter_time import ClockPolicy
from gateway.errors import GatewayError
from gateway.poller import Poller
from gateway.profile import (
    AUTO,
    FirmwareProfile,
)
from gateway.service.callers import CallDesk, CallerLine, name_asker
from gateway.service.core_settings import timing_of
from gateway.service.identity import Identities
from gateway.service.meter_state import Cadences
from gateway.service.observations import Observe
from gateway.service.parts import Parts, named_profile
from gateway.service.reading import ReadingLoop
from gateway.service.sessions import MeterAccess, SessionMaker
from gateway.service.wire_watch import WireWatch
from gateway.uplink.outbox import Lane

log = structlog.get_logger()

_DEVICE_RESTS_S: Final = (0.3, 5)
"""How long a device that is gone is not looked for, at first and later: looking costs nothing."""
_HOST_RESTS_S: Final = (15, 300)
"""The same for a host on the network."""


class Wiring:
    """Makes the reading loops of a site; ``desks`` take the calls of meters that dial in."""

    def __init__(
        self,
        site: Site,
        parts: Parts,
        sessions: SessionMaker,
        stored: Callable[[Lane, int], None],
        identified: Callable[[MeterAccess], None],
        observe: Observe,
    ) -> None:
        self._site = site
        self._parts = parts
        self._sessions = sessions
        self._stored = stored
        self._identified = identified
        self._observe = observe
        self.desks: list[CallDesk] = []
        self.loops = [self._wire_loop(wire) for wire in site.wires]
        self.loops += [loop for listener in site.listeners for loop in self._desk(listener)]

    def _wire_loop(self, wire: Wire) -> ReadingLoop:
        poller = Poller(
            wire.name, lambda: self._parts.open_transport(wire.url), gap_s=wire.gap_ms / 1000
        )
        rests_s = _DEVICE_RESTS_S if wire.url.kind.is_device else _HOST_RESTS_S
        return self._reading_loop(wire, wire.meters, poller, rests_s)

    def _desk(self, listener: Listener) -> Iterator[ReadingLoop]:
        """The loops of the meters that dial in to a listener, and the desk that takes the calls."""
        profile = self._parts.profiles[listener.profile]
        lines = [CallerLine(meter) for meter in listener.meters]
        ask_name = name_asker(listener, profile, self._parts.random_bytes)
        self.desks.append(CallDesk(listener, lines, ask_name))
        for line in lines:
            poller = Poller(line.known.serial, line.transport)
            loop = self._reading_loop(listener, (line.known,), poller, _DEVICE_RESTS_S)
            loop.present, line.on_call = line.present, loop.called
            yield loop

    def _reading_loop(
        self,
        place: Wire | Listener,
        meters: Sequence[Meter],
        poller: Poller,
        rests_s: tuple[float, float],
    ) -> ReadingLoop:
        parts, reading = self._parts, self._site.reading
        cadences = Cadences(
            instantaneous_s=reading.instantaneous_s,
            nameplate_s=reading.nameplate_s,
            events_s=reading.events_s,
            daily_days=reading.daily_days,
            block_days=place.block_days or reading.block_days,
            drift_limit_s=reading.drift_limit_s,
            verify_capture_list_s=reading.verify_capture_list_s,
            clocks=_clock_policy(self._site.clocks),
        )
        return ReadingLoop(
            meters=tuple(self._accesses(place, meters)),
            associations={meter.serial: meter.association for meter in meters},
            poller=poller,
            watch=WireWatch(wire=poller.name, rests_s=rests_s, jitter=parts.jitter),
            sessions=self._sessions,
            readings=parts.readings,
            clock=parts.clock,
            cadences=cadences,
            stored=self._stored,
            jitter=parts.jitter,
            identities=Identities(
                profiles=parts.profiles, sessions=self._sessions, readings=parts.readings
            ),
            identified=self._identified,
            observe=self._observe,
        )

    def _accesses(self, place: Wire | Listener, meters: Sequence[Meter]) -> Iterator[MeterAccess]:
        """The meters that can be read; one without keys is told and costs the others nothing."""
        for meter in meters:
            try:
                yield self._access(place, meter)
            except GatewayError as error:
                log.error("meter cannot be read", meter=meter.serial, error=str(error))

    def _access(self, place: Wire | Listener, meter: Meter) -> MeterAccess:
        profile = self._parts.profiles[named_profile(meter)]
        return MeterAccess(
            meter=meter.serial,
            profile=profile,
            keys=self._parts.keystore.get(meter.keys_of),
            kind=place.url.kind,
            server_lower=place.server_of(meter),
            timing=timing_of(profile, place.url.kind),
            turnaround_s=_turnaround_ms(profile, meter) / 1000,
            auto=meter.profile == AUTO,
        )


def _clock_policy(clocks: Clocks) -> ClockPolicy | None:
    if not clocks.set:
        return None
    return ClockPolicy(
        above_s=clocks.above_s,
        most_s=clocks.most_s,
        margin_s=clocks.margin_s,
        crossing=clocks.crossing,
    )


def _turnaround_ms(profile: FirmwareProfile, meter: Meter) -> int:
    return profile.link.turnaround_ms if meter.turnaround_ms is None else meter.turnaround_ms
