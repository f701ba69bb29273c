"""An expert who knows the labels, at the keyboard of the labelling page."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl
from playwright.sync_api import Page

from benchmarks.label_audit.faults import KINDS
from benchmarks.labelling import opened
from maskwise.labels import TASKS

KEYS: Final = {"mask": "qwe", "gender": "as", "age_group": "zxc"}
_SUGGESTED: Final = re.compile(r"(mask|gender|age group) → ([a-z ]+?)(?:,| \(and|$)")
_SHOWN: Final = """() => ({
  name: document.getElementById("photo-name").textContent,
  labels: Object.fromEntries([...document.querySelectorAll('#labels [aria-pressed="true"]')]
    .map((button) => [button.dataset.task, button.dataset.word])),
  age: document.getElementById("age").value,
  findings: [...document.querySelectorAll("#findings p")].map((line) => line.textContent),
})"""
Labels = dict[str, str | None]


@dataclass(frozen=True)
class Shown:
    """What the page shows of a photo."""

    name: str
    """The file and its person, as the page names a photo."""
    labels: Labels
    """Words of the three tasks, and `age` in years."""
    suggested: Labels
    """Words that the surest finding with a suggestion has for it."""

    @classmethod
    def on(cls, page: Page) -> "Shown":
        """Return what a page shows now."""
        seen: dict[str, Any] = page.evaluate(_SHOWN)
        labels: Labels = {task: seen["labels"].get(task) for task in TASKS}
        line = next((line for line in seen["findings"] if line.startswith("Suggested:")), "")
        suggested: Labels = {
            task.replace(" ", "_"): word.replace(" ", "_")
            for task, word in _SUGGESTED.findall(line)
        }
        return cls(seen["name"], {**labels, "age": seen["age"] or None}, suggested)


def known_labels(truth: pl.DataFrame) -> dict[str, Labels]:
    """Return the labels of each photo by the name that the page shows."""
    return {
        f"{Path(row['photo']).name}, person {row['person']}": {
            **{task: row[task] for task in TASKS},
            "age": None if row["age"] is None else str(row["age"]),
        }
        for row in truth.iter_rows(named=True)
    }


def keys_for(shown: Shown, right: Labels) -> Iterator[str]:
    """Yield the keys that make a photo's labels right, and of its person what all photos share."""
    if shown.suggested and {**shown.labels, **shown.suggested} == right:
        yield " "
        return
    wrong = {name for name, word in right.items() if word not in (None, shown.labels[name])}
    for task in ("mask", "gender"):
        if task in wrong:
            yield _key(task, right)
    if "age" in wrong:
        yield from ("g", *(right["age"] or ""), "Enter")
    elif "age_group" in wrong:
        yield _key("age_group", right)
    if wrong - {"mask"}:
        yield "p"
    yield "Enter"


def _key(task: str, right: Labels) -> str:
    return KEYS[task][TASKS[task].index(right[task] or "")]


def correct_on_page(
    manifest: Path, findings: Path, truth: pl.DataFrame, program: str
) -> tuple[int, float]:
    """Decide about all photos that findings about labels name; return decisions and minutes."""
    known, decided = known_labels(truth), 0
    with opened(manifest, program, "--findings", str(findings)) as (page, _):
        begun = time.perf_counter()
        for kind in KINDS:
            if not page.locator(f'#kind option[value="{kind}"]').count():
                continue
            _choose(page, kind)
            while page.is_visible("#work"):
                shown = Shown.on(page)
                for key in keys_for(shown, known[shown.name]):
                    page.keyboard.press(key)
                decided += 1
                page.wait_for_selector(f'#saved[data-count="{decided}"]', state="attached")
        return decided, (time.perf_counter() - begun) / 60


def _choose(page: Page, kind: str) -> None:
    """Let the page show photos of one kind of finding; when it has counted them, it listens."""
    with page.expect_response(lambda got: "/count" in got.url and f"kind={kind}&" in got.url):
        page.select_option("#kind", kind)
