"""``python -m portraitist``: the command line, for launchers that start a module or run a file."""

from portraitist.cli.main import main

main()
