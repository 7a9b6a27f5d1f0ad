"""What the vLLM role runs where there is no GPU: a server that is healthy until it is told otherwise.

Installed by tests as an executable called ``vllm`` on the path. It notes its arguments, its node
and its GPUs in the file that ``STAND_IN_NOTES`` names; ``POST /die`` ends it at once.
"""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Health(BaseHTTPRequestHandler):
    """Answers ``/health`` alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def do_POST(self) -> None:
        os._exit(1)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def main() -> None:
    port = int(sys.argv[sys.argv.index("--port") + 1])
    notes = [" ".join(sys.argv[1:]), os.environ.get("SLURMD_NODENAME"), os.environ.get("CUDA_VISIBLE_DEVICES")]
    Path(os.environ["STAND_IN_NOTES"]).write_text("\n".join(map(str, notes)) + "\n")
    HTTPServer(("0.0.0.0", port), Health).serve_forever()


if __name__ == "__main__":
    main()
