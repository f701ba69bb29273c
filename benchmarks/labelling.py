"""How fast the labelling page is: with very many photos, and with an expert at the keyboard.

    python -m benchmarks.labelling [--photos 100000] [--faults 300]

Drawn faces stand in a manifest of so many rows. Faults are put into some labels and listed as
findings; the expert, a script that knows the truth, presses in Chromium the key that a person would
press: Space where the suggestion is right, Enter where the labels are, else a class.
"""

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from playwright.sync_api import Page, sync_playwright

from maskwise.audit.findings import Finding, Fix, write_findings
from maskwise.data.drawn.people import plan_person
from maskwise.data.drawn.photos import plan_photo
from maskwise.data.drawn.scene import draw_person
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.labels import TASKS, MaskState
from maskwise.serving.screenshot import browser_program

FACES = 24
RIGHT = 0.8
"""Share of the suggestions that are right."""


def make_set(folder: Path, photos: int) -> Path:
    """Write a manifest of so many drawn photos, five of a person; they share a few files' bytes."""
    (folder / "photos").mkdir()
    states = list(MaskState)
    for number in range(FACES):
        plan = plan_photo(0, number, "train", 6, states[number % 3])
        face = draw_person(plan_person(0, number, "train"), plan).resize((384, 512))
        face.save(folder / f"{number}.jpg", quality=90)
    rows: list[dict[str, object]] = []
    for number in range(photos):
        path = folder / "photos" / f"{number:06d}.jpg"
        os.link(folder / f"{number % FACES}.jpg", path)
        rows.append(
            {"photo": str(path), "person": f"p{number // 5}", "source": "drawn",
             "mask": TASKS["mask"][number % 3], "gender": TASKS["gender"][number // 5 % 2],
             "age_group": TASKS["age_group"][number // 5 % 3]}
        )  # fmt: skip
    manifest = folder / "many.csv"
    write_manifest(manifest_from_rows(rows), manifest)
    return manifest


def put_faults(manifest: Path, faults: int) -> dict[str, str]:
    """Put faults into mask labels and list findings; return photo name -> the right word."""
    rng = random.Random(0)
    frame = read_manifest(manifest, check_photos=False)
    masks, truth, findings = frame["mask"].to_list(), {}, []
    for row in rng.sample(range(len(frame)), faults):
        right = masks[row]
        others = [word for word in TASKS["mask"] if word != right]
        masks[row] = rng.choice(others)
        rest = [word for word in others if word != masks[row]]
        word = right if rng.random() < RIGHT else rest[0]
        truth[Path(frame["photo"][row]).name] = right
        reason = f"labelled {masks[row]}, to the model {word}"
        score = round(rng.uniform(0.5, 1), 4)
        findings.append(Finding("mask", (row,), score, reason, (Fix(row, "mask", word),)))
    wrong = frame.with_columns(mask=pl.Series(masks))
    write_manifest(wrong, manifest)
    folder = manifest.with_name(f"{manifest.stem}-audit")
    folder.mkdir()
    write_findings(folder / "findings.csv", wrong, findings, manifest.parent)
    return truth


@contextmanager
def opened(manifest: Path, program: str, *options: str) -> Iterator[tuple[Page, float]]:
    """Open the page; give it and the seconds that the command took to listen."""
    command = [sys.executable, "-m", "maskwise", "label", str(manifest), "--port", "0", *options]
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            ready = time.perf_counter() - begun
            address = re.search(r"http://\S+", said)
            assert address, said
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
                page = browser.new_page()
                page.goto(address[0])
                page.fill("#name", "expert")
                page.press("#name", "Enter")
                page.wait_for_selector("#work:not([hidden])")
                yield page, ready
                browser.close()
        finally:
            process.terminate()


WATCH = """() => { window.times = []; let pressed = 0;
  addEventListener("keydown", () => { pressed = performance.now(); }, true);
  document.getElementById("large").addEventListener("load",
    () => times.push(performance.now() - pressed)); }"""


def label(page: Page, truth: dict[str, str]) -> float:
    """Correct all faults as an expert would; return the minutes that it took."""
    begun = time.perf_counter()
    for number in range(len(truth)):
        name = page.inner_text("#photo-name").split(",")[0]
        told = page.inner_text(".finding").rsplit("→", 1)[-1].strip().replace(" ", "_")
        if told == truth[name]:
            page.keyboard.press(" ")
        else:
            page.keyboard.press("qwe"[TASKS["mask"].index(truth[name])])
            page.keyboard.press("Enter")
        page.wait_for_selector(f'#saved[data-count="{number + 1}"]')
    return (time.perf_counter() - begun) / 60


def main(words: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--faults", type=int, default=300)
    options = parser.parse_args(words)
    program = browser_program()
    if program is None:
        sys.exit("there is no Chromium: make browser")
    with tempfile.TemporaryDirectory() as name:
        manifest = make_set(Path(name), options.photos)
        truth = put_faults(manifest, options.faults)
        with opened(manifest, program) as (page, first):
            paint = _paint(page)
            page.evaluate(WATCH)
            minutes = label(page, truth)
            nexts = page.evaluate("times")
        with opened(manifest, program) as (_, again):
            pass
        fixed = Path(name) / "fixed.csv"
        command = [sys.executable, "-m", "maskwise", "label", "export", str(manifest)]
        subprocess.run([*command, "--out", str(fixed)], check=True, stdout=subprocess.DEVNULL)
        masks = dict(pl.read_csv(fixed, infer_schema=False).select("photo", "mask").iter_rows())
        right = sum(masks[f"photos/{name}"] == word for name, word in truth.items())
    started = f"ready after {first:.1f} s, later {again:.1f} s; first paint {paint:.0f} ms"
    print(f"{options.photos} photos: {started}")
    slow = statistics.quantiles(nexts, n=20)[-1]
    print(f"next photo: median {statistics.median(nexts):.0f} ms, 95 of 100 within {slow:.0f} ms")
    print(f"{len(truth)} faults, {right} mended: {len(truth) / minutes:.0f} decisions a minute")


def _paint(page: Page) -> float:
    """Return the milliseconds to the first paint of the page with content."""
    found: Any = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
    )
    return float(found)


if __name__ == "__main__":
    main()
