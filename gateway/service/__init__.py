"""The one place with tasks, signals and the wall clock."""
