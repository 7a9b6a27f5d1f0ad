"""The last view: how the model learned, from what was measured, and recorded thoughts to replay. It needs no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr

from ..game.puzzle import Puzzle
from ..train.samples import step_of
from . import page
from .charts import Point, line_chart
from .entry import News, Updates
from .recorded import MAX_PIXELS, Player, Scene, whole
from .story import Story
from .tape import Tape
from .visits import unchanged
from .words import Words, translated, words_of


class Tale:
    """The components of the view, and what its controls do."""

    def __init__(self, words: Words, story: Story | None) -> None:
        self.story = story
        self.told = gr.HTML(told(story, words), elem_id="story")
        self.recorded = recorded = bool(story and story["replay"])
        self.player = Player(self._recorded)
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

    def follow(self, puzzle: int, moment: int, words: Words, visitor: str) -> Updates:
        """A puzzle, a moment or another language was chosen: the whole thought at once."""
        scene = self.player.show((puzzle, moment), words, visitor) if self.recorded else None
        return dict(zip(self.scene, scene, strict=True)) if scene else {}

    async def choose(self, puzzle: int, moment: int, language: str, request: gr.Request) -> Any:
        """Another one was chosen."""
        shown = self.follow(puzzle, moment, words_of(language), str(request.session_hash))
        return shown or gr.skip()

    async def play(self, puzzle: int, moment: int, language: str, request: gr.Request) -> News:
        """The thought as if it were being written."""
        async for scene in self.player.play((puzzle, moment), words_of(language), str(request.session_hash)):
            yield dict(zip(self.scene, scene, strict=True))
        yield unchanged({self.thought: ""})

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
    key = "story_about" if story.get("cold_start", True) else "story_about_base"
    about = words[key].format(paid=_paid(story, words))
    other = words["story_borrowed"].format(run=story["run"]) if story.get("borrowed") else ""
    size = f" ({words['story_numbers'].format(n=hardest)})" if hardest else ""
    charts = (
        line_chart(_caption("story_solved", size, solved, words, "{:.1%}"), solved, step, percent=True),
        line_chart(_caption("story_length", size, length, words, "{:.0f}"), length, step),
        line_chart(_caption("story_reward", "", reward, words, "{:.2f}"), reward, step),
    )
    return (
        f"<h2>{escape(words['story_title'].format(run=story['run']))}</h2>{page.notice('', other) if other else ''}"
        f'<p class="lead">{escape(about)}</p><div class="charts">{"".join(charts)}</div>'
        f"{_table(story, words)}{_cost(story, words)}{_ahas(story, words)}"
    )


def _caption(key: str, size: str, points: Sequence[Point], words: Words, form: str) -> str:
    """What a curve is of, and from where to where it goes."""
    title = words[key] + size
    if len(points) < 2:
        return title
    first, last = form.format(points[0].value), form.format(points[-1].value)
    return words["story_changed"].format(title=title, first=first, last=last, step=f"{points[-1].step:g}")


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
    where = translated(words, "hardware", str(cost.get("hardware") or ""))
    return f'<p class="cost">{escape(words[key].format(**{**cost, "hardware": where}))}</p>'


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
