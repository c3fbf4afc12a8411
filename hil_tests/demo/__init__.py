"""The whole product on one machine: emulated meters at one end, the consumer's page at the other.

Every part is the real one, in a process of its own, on free loopback ports. ``line.Line`` starts
and stops them; ``comparison`` holds what the consumer API shows against the emulator's truth.
"""
