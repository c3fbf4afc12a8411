"""A substation in memory and on simulated time: wires, meters, the whole gateway, its backend."""
