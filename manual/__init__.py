"""The documents as a site that is built, and read, without a network: ``python -m manual``, or ``make docs``.

Its pages are those of docs/, and pages that are generated here from what they are about: one of each recipe from the
registry, one of all commands from the command line, one of each public package from its docstrings, and a gallery of
people whom the bundled base made up.
"""
