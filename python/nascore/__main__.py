"""`python -m nascore`, for programs that start Python modules, such as torchrun."""

from nascore.cli import main

main()
