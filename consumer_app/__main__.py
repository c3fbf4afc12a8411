"""``python -m consumer_app`` is the ``consumer-app`` command."""

from consumer_app.cli import main

main()
