"""``python -m countdown_r1``."""

from .cli import main

main(prog_name="countdown-r1")
