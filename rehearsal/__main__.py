"""``python -m countdown_r1.rehearsal --data DIR [--port N] [--parent-pid PID]``: the rehearsal Hub as a process."""

import argparse
import sys
from pathlib import Path

from ..errors import CountdownError
from .client import TAKEN_STATUS
from .faults import parse_faults
from .server import HOST, FolderTaken, serve


def main() -> int:
    """Serve, print the address once it is bound, and end with a status that tells a taken folder apart."""
    parser = argparse.ArgumentParser(prog="python -m countdown_r1.rehearsal", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the repositories")
    parser.add_argument("--port", type=int, default=0, help="0 takes the one of last time, or any")
    parser.add_argument("--host", default=HOST, help=f"{HOST} and no other")
    parser.add_argument("--parent-pid", type=int, help="end with this process and those that join later")
    parser.add_argument("--faults", help="share of requests that fail: 0.2, or KIND=SHARE,...")
    parser.add_argument("--fault-seed", type=int, default=0)
    parser.add_argument("--xet", action="store_true", help="let clients upload through Xet")
    options = parser.parse_args()
    try:
        faults = parse_faults(options.faults, options.fault_seed) if options.faults else None
        serve(
            options.data,
            options.port,
            host=options.host,
            parent_pid=options.parent_pid,
            faults=faults,
            xet=options.xet,
        )
    except CountdownError as error:
        print(f"error: {error}", file=sys.stderr)
        return TAKEN_STATUS if isinstance(error, FolderTaken) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
