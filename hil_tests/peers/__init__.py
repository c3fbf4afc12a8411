"""Independent DLMS clients, each a program of its own in `.venv-peers`; never imported."""
