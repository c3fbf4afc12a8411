"""The rig: emulated meters, real parts, and the scenarios that run against them."""
