"""What a model wrote at each step of its training: completions as the trainer logged them, under a slider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from ..game.puzzle import Puzzle
from . import page
from .entry import News, Updates
from .recorded import MAX_PIXELS, Player, whole
from .story import Story
from .visits import unchanged
from .words import Words, words_of


class Tape:
    """The components, and what they show. Invisible when the story has no logged completions."""

    def __init__(self, words: Words, story: Story | None) -> None:
        recorded = (story or {}).get("written") or {}
        self.run: str = recorded.get("run", "")
        self.of: str = (story or {}).get("run", "")
        self.player = Player(self._recorded)
        self.steps: Sequence[Mapping[str, Any]] = recorded.get("steps", [])
        with gr.Column(elem_id="tape", visible=bool(self.steps)):
            self.about = gr.HTML(self._about(words), elem_id="tape-about")
            with gr.Row(elem_id="tape-controls"):
                first, last = (self.steps[0]["step"], self.steps[-1]["step"]) if self.steps else (0, 1)
                self.step = gr.Slider(first, last, first, step=1, label=words["replay_step"], elem_id="tape-step")
                most = max((len(one["completions"]) for one in self.steps), default=1)
                places: list[tuple[str, int]] = [(str(place + 1), place) for place in range(most)]
                self.place = gr.Radio(places, value=0, label=words["tape_place"], elem_id="tape-place")
                self.play_button = gr.Button(words["replay_play"], variant="primary", elem_id="tape-play")
            scene = whole(*self._recorded(first, 0), words) if self.steps else ("", "")
            self.thought = gr.HTML(scene[0], elem_id="tape-thought", autoscroll=True, max_height=MAX_PIXELS)
            self.verdict = gr.HTML(scene[1], elem_id="tape-verdict")

    @property
    def scene(self) -> list[Any]:
        return [self.thought, self.verdict]

    @property
    def chosen(self) -> list[Any]:
        return [self.step, self.place]

    @property
    def texts(self) -> list[Any]:
        return [self.about, self.step, self.place, self.play_button]

    def translate(self, words: Words) -> Updates:
        return {
            self.about: self._about(words),
            self.step: gr.update(label=words["replay_step"]),
            self.place: gr.update(label=words["tape_place"]),
            self.play_button: words["replay_play"],
        }

    def follow(self, step: float, place: int, words: Words, visitor: str) -> Updates:
        """A step, a completion of it or another language was chosen."""
        scene = self.player.show((step, place), words, visitor) if self.steps else None
        return dict(zip(self.scene, scene, strict=True)) if scene else {}

    async def choose(self, step: float, place: int, language: str, request: gr.Request) -> Any:
        """Another one was chosen."""
        shown = self.follow(step, place, words_of(language), str(request.session_hash))
        return shown or gr.skip()

    async def play(self, step: float, place: int, language: str, request: gr.Request) -> News:
        async for scene in self.player.play((step, place), words_of(language), str(request.session_hash)):
            yield dict(zip(self.scene, scene, strict=True))
        yield unchanged({self.thought: ""})

    def _recorded(self, step: object, place: object) -> tuple[Puzzle, str]:
        """A completion of the nearest step that was kept, whatever was asked for."""
        wanted = step if isinstance(step, int | float) else 0
        completions = min(self.steps, key=lambda one: abs(one["step"] - wanted))["completions"]
        one = completions[min(max(place, 0), len(completions) - 1) if isinstance(place, int) else 0]
        return Puzzle(tuple(one["nums"]), one["target"]), one["completion"]

    def _about(self, words: Words) -> str:
        """What is shown, and whose it is: the run that the curves are of, or another one."""
        text, title = words["tape_about"].format(run=self.run), words["tape"]
        if self.run == self.of:
            return f"<h2>{escape(title)}</h2><p>{escape(text)}</p>"
        title, other = words["tape_other"].format(run=self.run), words["tape_other_about"].format(model=self.of)
        return f"<h2>{escape(title)}</h2>{page.notice('', other)}<p>{escape(text)}</p>"
