"""Commands: arguments and printing only."""
