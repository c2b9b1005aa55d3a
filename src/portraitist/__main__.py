"""``python -m portraitist``: the command line, for launchers that start a module."""

from .cli.main import main

main()
