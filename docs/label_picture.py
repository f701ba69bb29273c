"""Makes docs/images/labels.png: the labelling page, and drawn people, one with swapped labels.

python docs/label_picture.py
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
from playwright.sync_api import sync_playwright

from maskwise.serving.screenshot import browser_program

IMAGE = Path(__file__).resolve().parent / "images" / "labels.png"


def maskwise(*words: object) -> None:
    """Run a command."""
    command = [sys.executable, "-m", "maskwise", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 # ours


def main() -> None:
    """Take the picture."""
    program = browser_program()
    if program is None:
        sys.exit("there is no Chromium: make browser")
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "drawn.csv"
        maskwise("data", "samples", manifest.with_suffix(""), "--people", 8)
        maskwise("data", "import", manifest.with_suffix("") / "train", "--out", manifest)
        rows = pl.read_csv(manifest, infer_schema=False).with_row_index()
        person = rows.filter(person=rows["person"][0])
        first, last = (person.filter(mask=word)["index"][0] for word in ("wear", "not_wear"))
        masks = rows["mask"].to_list()
        masks[first], masks[last] = masks[last], masks[first]
        rows.drop("index").with_columns(mask=pl.Series(masks)).write_csv(manifest)
        maskwise("data", "audit", manifest, "--workers", 0)
        picture(program, manifest)


def picture(program: str, manifest: Path) -> None:
    """Open the page and take its picture."""
    command = [sys.executable, "-m", "maskwise", "label", str(manifest), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as page:  # noqa: S603 # ours
        try:
            said = page.stdout.readline() if page.stdout else ""
            found = re.search(r"http://\S+", said)
            if found is None:
                sys.exit("the page did not start")
            with sync_playwright() as driver:
                browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
                shown = browser.new_page(viewport={"width": 1280, "height": 760})
                shown.goto(found[0])
                shown.fill("#name", "ann")
                shown.press("#name", "Enter")
                shown.wait_for_selector("#work:not([hidden])")
                shown.wait_for_load_state("networkidle")
                shown.screenshot(path=IMAGE)
                browser.close()
        finally:
            page.terminate()


if __name__ == "__main__":
    main()
