"""The last view: how the model learned, from what was measured, and recorded thoughts to replay. It needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from ..game.puzzle import Puzzle
from ..train.samples import step_of
from . import page
from .charts import Point, line_chart
from .entry import News, Updates
from .recorded import MAX_PIXELS, Scene, played, whole
from .story import Story
from .tape import Tape
from .words import Words, translated, words_of


class Tale:
    """The components of the view, and what its controls do."""

    def __init__(self, words: Words, story: Story | None) -> None:
        self.story = story
        self.told = gr.HTML(told(story, words), elem_id="story")
        recorded = bool(story and story["replay"])
        with gr.Column(elem_id="replay", visible=recorded):
            self.about = gr.HTML(_about(words), elem_id="replay-about")
            with gr.Row(elem_id="replay-controls"):
                self.puzzle = gr.Dropdown(
                    _puzzles(story), value=0, label=words["replay_puzzle"], elem_id="replay-puzzle"
                )
                self.moment = gr.Radio(
                    _labels(story, words), value=0, label=words["replay_step"], elem_id="replay-step"
                )
                self.play_button = gr.Button(words["replay_play"], variant="primary", elem_id="replay-play")
            first = whole(*self._recorded(0, 0), words) if recorded else Scene("", "")
            self.thought = gr.HTML(first.thought, elem_id="replay-thought", autoscroll=True, max_height=MAX_PIXELS)
            self.verdict = gr.HTML(first.verdict, elem_id="replay-verdict")
        self.tape = Tape(words, story)

    @property
    def scene(self) -> list[Any]:
        return [self.thought, self.verdict]

    @property
    def chosen(self) -> list[Any]:
        return [self.puzzle, self.moment]

    @property
    def texts(self) -> list[Any]:
        return [self.told, self.about, self.puzzle, self.moment, self.play_button, *self.tape.texts]

    def translate(self, words: Words) -> Updates:
        return self.tape.translate(words) | {
            self.told: told(self.story, words),
            self.about: _about(words),
            self.puzzle: gr.update(label=words["replay_puzzle"]),
            self.moment: gr.update(label=words["replay_step"], choices=_labels(self.story, words)),
            self.play_button: words["replay_play"],
        }

    def show(self, puzzle: int, moment: int, language: str) -> Updates:
        """A puzzle or a moment was chosen: the whole thought at once."""
        return dict(zip(self.scene, whole(*self._recorded(puzzle, moment), words_of(language)), strict=True))

    async def play(self, puzzle: int, moment: int, language: str) -> News:
        """The thought as if it were being written."""
        async for scene in played(*self._recorded(puzzle, moment), words_of(language)):
            yield dict(zip(self.scene, scene, strict=True))

    def _recorded(self, puzzle: object, moment: object) -> tuple[Puzzle, str]:
        """The puzzle and the completion of that moment; the nearest there is for anything else."""
        replay = self.story["replay"] if self.story else []
        one = replay[_within(puzzle, len(replay))]
        said = one["thoughts"][_within(moment, len(one["thoughts"]))]
        return Puzzle(tuple(one["nums"]), one["target"]), said["completion"]


def told(story: Story | None, words: Words) -> str:
    """The curves, the table and the quotes."""
    if story is None:
        return page.notice("", words["story_none"])
    hardest = story["models"][-1].get("numbers")  # where puzzles of several sizes were measured apart
    known = [model for model in story["models"] if model["step"] is not None and model.get("numbers") == hardest]
    solved = [Point(model["step"], model["solve_rate"], *model["solve_interval"]) for model in known]
    length = [Point(model["step"], *[model["mean_tokens"]] * 3) for model in known]
    reward = [Point(step, *[value] * 3) for step, value in story["rewards"]]
    step = words["story_step"]
    about = words["story_about"].format(paid=_paid(story, words))
    size = f" ({words['story_numbers'].format(n=hardest)})" if hardest else ""
    charts = (
        line_chart(words["story_solved"] + size, solved, step, percent=True),
        line_chart(words["story_length"] + size, length, step),
        line_chart(words["story_reward"], reward, step),
    )
    return (
        f"<h2>{escape(words['story_title'].format(run=story['run']))}</h2>"
        f'<p class="lead">{escape(about)}</p><div class="charts">{"".join(charts)}</div>'
        f"{_table(story, words)}{_cost(story, words)}{_ahas(story, words)}"
    )


def _paid(story: Story, words: Words) -> str:
    """What was rewarded, each kind once; a reward of the user's own is not described."""
    said = [words.get(f"story_paid.{name}") or words["story_paid.other"] for name in story.get("paid") or ["other"]]
    return words["story_paid.and"].join(dict.fromkeys(said))


def _table(story: Story, words: Words) -> str:
    sized = any(model.get("numbers") for model in story["models"])
    names = ("model", *(("numbers",) if sized else ()), "solved", "interval", "tokens")
    heads = "".join(f'<th scope="col">{escape(words[f"story_row.{name}"])}</th>' for name in names)
    rows = ""
    for model in story["models"]:
        low, high = model["solve_interval"]
        cells = (
            label_of(model["label"], words),
            *((words["story_numbers"].format(n=model["numbers"]),) if sized else ()),
            f"{model['solve_rate']:.1%}",
            f"{low:.1%} – {high:.1%}",
            f"{model['mean_tokens']:.0f}",
        )
        kind = ' class="best"' if model["label"] == story["best"] else ""
        rows += f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
    caption = escape(words["story_table"].format(n=story["n"]))
    return f'<div class="wide"><table><caption>{caption}</caption><tr>{heads}</tr>{rows}</table></div>'


def _cost(story: Story, words: Words) -> str:
    cost = story.get("cost")
    if not cost:
        return ""
    key = "story_cost" if cost.get("total") else "story_time"  # a price of nothing says nothing
    return f'<p class="cost">{escape(words[key].format(**cost))}</p>'


def _ahas(story: Story, words: Words) -> str:
    """How often an Aha was said and was true, for each model, and some of them word for word."""
    counts = "".join(_counted(one, words) for one in story.get("aha_counts", []))
    told = "".join(_quote(aha, words) for aha in story["ahas"])
    counted = f'<ul class="counts">{counts}</ul>' if counts else ""
    return f"<h2>{escape(words['story_ahas'])}</h2>{counted}{told}" if counted or told else ""


def _counted(count: Mapping[str, Any], words: Words) -> str:
    said = words["story_aha_count"].format(**{**count, "label": label_of(count["label"], words)})
    return f"<li>{escape(said)}</li>"


def _quote(aha: Mapping[str, Any], words: Words) -> str:
    numbers = " ".join(map(str, aha["nums"]))
    source = words["story_aha_from"].format(label=label_of(aha["label"], words), numbers=numbers, target=aha["target"])
    before, cue, after = aha["excerpt"].partition(aha["cue"])
    said = f'{escape(before)}<mark title="{escape(words["cue_is"])}">{escape(cue)}</mark>{escape(after)}'
    if aha["solved"]:
        kind, name, why = "aha", words["aha"], words["aha_is"]
    else:
        kind, name = "claimed", words["claimed"]
        why = words["claimed_is"].format(why=translated(words, "why", aha["why"]))
    badge = f'<p class="badge {kind}"><b>{escape(name)}</b> <span>{escape(why)}</span></p>'
    quote = f"<blockquote>{said}</blockquote><figcaption>{escape(source)}</figcaption>"
    return f'<figure class="quote {kind}">{badge}{quote}</figure>'


def label_of(label: str, words: Words) -> str:
    """What the page calls a model of a run."""
    step = step_of(label)
    if label == "base" or step is None:
        return words["story_base"] if label == "base" else label
    return words["story_after"].format(step=step)


def _about(words: Words) -> str:
    return f"<h2>{escape(words['replay'])}</h2><p>{escape(words['replay_about'])}</p>"


def _puzzles(story: Story | None) -> list[tuple[str, int]]:
    replay = story["replay"] if story else []
    return [(f"{' '.join(map(str, one['nums']))} → {one['target']}", place) for place, one in enumerate(replay)]


def _labels(story: Story | None, words: Words) -> list[tuple[str, int]]:
    thoughts = story["replay"][0]["thoughts"] if story and story["replay"] else []
    return [(label_of(one["label"], words), place) for place, one in enumerate(thoughts)]


def _within(place: object, length: int) -> int:
    return min(max(place, 0), length - 1) if isinstance(place, int) else 0
