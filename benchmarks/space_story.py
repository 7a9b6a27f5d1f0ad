"""Write ``space/story.json``, the story that the page tells of the shipped recipe, from a run's folder.

python benchmarks/space_story.py outputs/demo
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from countdown_r1.space.story import of_run

STORY = Path(__file__).resolve().parent.parent / "space" / "story.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished run, such as outputs/demo")
    run = parser.parse_args().run
    STORY.write_text(json.dumps(of_run(run), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(STORY)


if __name__ == "__main__":
    main()
