"""`python -m edgefool`."""

from edgefool.cli import main

main()
