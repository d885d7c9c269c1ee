"""`python -m centime`, the same as the `centime` command."""

from centime.cli import main

main()
