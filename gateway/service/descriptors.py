"""Room for all connections: each wire and each caller holds one file descriptor."""

from __future__ import annotations

import resource
from typing import Final

from gateway.config import Site
from gateway.errors import UsageError

OWN_DESCRIPTORS: Final = 64
"""Databases with their logs, broker, standard streams, the event loop; some two dozen seen."""


def descriptors_needed(site: Site) -> int:
    """How many files a site's service may have open at once."""
    # A listener holds one more, and one for a call that is about to be turned away.
    calls = sum(listener.max_connections + 2 for listener in site.listeners)
    return OWN_DESCRIPTORS + len(site.wires) + calls


def make_room(needed: int) -> None:
    """Raise the process's own limit where it is too low; UsageError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageError(
            f"this site needs {needed} file descriptors (one for each wire and caller) and at most"
            f" {hard} are allowed here: set LimitNOFILE={needed} in the unit, or ulimit -n {needed}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
