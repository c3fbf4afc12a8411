"""Numbered SQL files, applied in order, each with its record in one transaction."""
