"""The command line as a program: its verbs and their parser, its streams, and every way it can end.

Nothing is exported: `main` of centime.cli imports each part when it is needed, so that Ctrl-C finds little.
"""
