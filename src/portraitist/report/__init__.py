"""What is written for people to read: report cards, tables and pages, in Markdown, HTML and pictures.

Nothing here measures; :mod:`portraitist.evaluate` and the runs bring the numbers.
"""
