"""Firmware profiles: one TOML file per meter make and firmware; data, no code."""
