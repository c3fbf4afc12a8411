"""What a site file's own text does not show: profiles, associations, and what is risky."""

from __future__ import annotations

import re
from typing import Final

from gateway.config import Site
from gateway.errors import ConfigError
from gateway.service.parts import named_profile, site_profiles

_UNSTABLE_NAME: Final = re.compile(r"/dev/tty(USB|ACM)[0-9]+")


def check_site(site: Site, file: str) -> list[str]:
    """What ``load_site`` cannot see: profiles, associations, keys. Remarks that are no errors.

    Raises ConfigError for a profile or association that is not there.
    """
    profiles = site_profiles(site)
    remarks: list[str] = []
    for wire, meter in site.meters:
        profile = profiles[named_profile(meter)]
        if meter.association not in profile.associations:
            raise ConfigError(
                file,
                f"wire {wire.name}, meter {meter.serial}: association",
                meter.association,
                f"one of {', '.join(sorted(profile.associations))}",
            )
    remarks += [
        f"wire {wire.name}: {wire.url.device} may be another adapter after the next plugging in;"
        " write its name in /dev/serial/by-id"
        for wire in site.wires
        if _UNSTABLE_NAME.fullmatch(wire.url.device)
    ]
    remarks += [
        f"listener {listener.name}: without tls whoever is between can read and change what is not"
        " ciphered, and with LLS learns the password"
        for listener in site.listeners
        if listener.tls is None
    ]
    if site.uplink is None:
        remarks.append("no [uplink]: readings are kept here and sent nowhere")
    if not site.stores.keystore.exists():
        remarks.append("the keystore does not exist yet: gateway keys import makes it")
    return remarks
