"""What can be wrong with an emulated meter: switches, all off by default.

Each stands for something seen in the field. They are data of the scenario, so a test names
what it does to the gateway in one line.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Switches of one meter."""

    silent: bool = False
    """Takes octets, never answers."""
    answers_at: int | None = None
    """Listens at another HDLC address (wrapper: server wPort) than its nameplate says."""
    refuse_with: int | None = None
    """Rejects every AARQ with this acse-service-user diagnostic; 13 is a wrong password."""
    clock_at_1970: bool = False
    """Its clock lost power: it starts at 1970-01-01 and its buffers keep their old rows."""
    clock_offset_s: int = 0
    """Its clock is ahead of true time by so many seconds."""
    clock_refused: bool = False
    """It lets nobody read its clock object."""
    duplicate_rows: bool = False
    """Every fourth row of a buffer comes twice."""
    unsorted_rows: bool = False
    """Buffers come in the order of their ring's slots, not of time."""
    range_refused: bool = False
    """Buffers take no selective access by range."""
    rows_at_once: int = 0
    """More rows in one answer are refused (other-reason); 0 = any number."""
    rows_lost_every: int = 0
    """Every n-th row of a history was never captured: the meter had no power; 0 = none."""
    export_columns_first: bool = False
    """Daily profile: export before import, as another make orders them."""
    extra_column: bool = False
    """Block load: one more column (meter health) at the end than before."""
    energy_scaler_shift: int = 0
    """Added to the scaler of every cumulative energy register; the values follow it."""
    busy_every: int = 0
    """Every n-th GET finds the meter busy (temporary-failure); 0 = none."""
    noise_octets: int = 0
    """Octets that are no frame, before every answer."""
    split_octets: int = 0
    """Answers leave in pieces of so many octets; 0 = whole."""
    power_cut_in_block: int | None = None
    """Its supply goes away once, while it takes this block of an image."""
    slow_verification: int = 0
    """Verifying an image takes so many looks at its status; the request is refused for now."""
    new_keys_at_once: bool = False
    """The answer to a key transfer is protected by the new key already."""
    forgets_counters: bool = False
    """A new encryption key lets the received counters of all clients begin anew."""
    drop_every: int = 0
    """Every n-th answer is lost on the wire; 0 = none."""

    # Optical heads and their meters (wire = "optical").
    head_echoes: bool = False
    """The head gives back what the reader sends."""
    hdlc_at_once: bool = False
    """No sign-on: the meter speaks HDLC at 9600 baud from the beginning."""
    baud_identification: int = 5
    """The Z of /XXXZ: 0 to 6 are 300 to 19200 baud, 7 to 9 mean nothing."""
    no_confirmation: bool = False
    """Changes its speed without repeating the acknowledgement."""
    reads_out: bool = False
    """Knows no mode E: answers the choice of it by its readout (mode C)."""
    stays_slow: bool = False
    """Agrees to change its speed, and does not."""
    babbles: bool = False
    """Answers the sign-on by characters that are no identification."""
    unlisted_column: bool = False
    """Billing captures an object that no association shows, after all others."""
    short_scaler_profiles: bool = False
    """Scaler profiles hold every second register of their value profile only."""
    prepaid_at_94_91: bool = False
    """Its prepaid figures for the display stand at 0-0:94.91.x, not at 0-0:94.96.x."""
    stamp_at_start: bool = False
    """Block load: the clock stands at the start of the interval."""
    range_without_deviation: bool = False
    """A range whose times state a deviation is refused: local time alone is understood."""
    stated_deviation_minutes: int | None = None
    """The deviation field of every time, whatever the zone: -32768 is "not specified"."""
    trailing_octets: bool = False
    """Two octets stand behind every buffer that it sends."""
    no_user_information: bool = False
    """Its AARE accepts and says nothing of what was agreed."""
    release_refused: bool = False
    """It answers an RLRQ with an exception."""
    release_unanswered: bool = False
    """It does not answer an RLRQ."""
