"""``python -m countdown_r1.train RECIPE``: the train command, for launchers that start a module."""

import sys

from ..cli import main

main(["train", *sys.argv[1:]], prog_name="python -m countdown_r1.train")
