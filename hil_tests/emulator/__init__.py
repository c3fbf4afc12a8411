"""A meter emulator: DLMS servers on real framings, with known truth and switchable faults."""
