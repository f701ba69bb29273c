"""The labelling page in a browser, with the keyboard alone."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browsing import chromium, opened_page
from commands import invoke
from labels_made import FINDINGS
from maskwise.audit.findings import write_findings
from maskwise.data.manifest import read_manifest


@contextmanager
def labelling(manifest: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `maskwise label`; give the process and the page's address."""
    command = [sys.executable, "-m", "maskwise", "label", str(manifest), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", said)
            assert found, said
            yield process, found[0]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def audited(manifest: Path) -> Path:
    """A manifest with findings beside it."""
    folder = manifest.with_name("manifest-audit")
    folder.mkdir()
    write_findings(folder / "findings.csv", read_manifest(manifest), FINDINGS, manifest.parent)
    return manifest


@pytest.fixture
def page(browser: Browser, audited: Path) -> Iterator[Page]:
    """The page, where ann has begun."""
    with labelling(audited) as (_, address), opened_page(browser, address) as page:
        begin(page)
        yield page


def begin(page: Page, who: str = "ann") -> None:
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type(who)
    page.keyboard.press("Enter")
    expect(page.locator("#work")).to_be_visible()


def press(page: Page, *keys: str) -> None:
    """Press keys; wait until what they decide is saved."""
    for key in keys:
        before = page.locator("#saved").get_attribute("data-count") or "0"
        page.keyboard.press(key)
        expect(page.locator("#saved")).to_have_attribute("data-count", str(int(before) + 1))


def shown(page: Page) -> str:
    """Return the file name of the photo that is shown."""
    return page.locator("#photo-name").inner_text().split(",")[0]


def events(manifest: Path) -> list[tuple[str, str, str]]:
    """Return who did what with which photo."""
    with sqlite3.connect(manifest.with_name("manifest-labels.db")) as connection:
        rows = connection.execute(
            "SELECT who, action, name FROM events JOIN photos ON photos.id = photo "
            "ORDER BY events.id"
        ).fetchall()
    connection.close()
    return [(who, action, Path(name).name) for who, action, name in rows]


def test_a_suggestion_is_taken_in_all_its_photos_with_one_key(page: Page, audited: Path) -> None:
    expect(page.locator(".finding").first).to_contain_text(
        "Suggested: mask → not wear (and 1 other photo with it)"
    )
    assert shown(page) == "003.png"
    press(page, " ")
    expect(page.locator("#saved")).to_have_text("Saved: 003.png done, and 1 more")
    assert shown(page) == "007.png"  # the other one of the swap is not asked again
    assert [(action, name) for _, action, name in events(audited)] == [
        ("label", "003.png"), ("label", "005.png")
    ]  # fmt: skip


def test_each_key_does_what_the_list_says(page: Page, audited: Path) -> None:
    press(page, "Enter")
    page.keyboard.press("w")  # mask incorrect
    page.keyboard.press("s")
    page.keyboard.press("c")  # old: the age in years goes
    expect(page.locator("#age")).to_have_value("")
    press(page, "Enter")  # 005
    press(page, "r", "ArrowRight", "Delete")  # 007, 000, 001
    expect(page.locator("#saved")).to_have_text("Saved: 001.png deleted")
    page.keyboard.press("u")
    expect(page.locator("#saved")).to_have_text("Taken back: 001.png")
    assert shown(page) == "001.png"
    page.keyboard.press("1")
    press(page, "7")  # class 17
    press(page, "4")
    assert [(action, name) for _, action, name in events(audited)] == [
        ("accept", "003.png"), ("label", "005.png"), ("wrong", "007.png"), ("skip", "000.png"),
        ("delete", "001.png"), ("undo", "001.png"), ("label", "001.png"), ("label", "002.png"),
    ]  # fmt: skip
    out = audited.with_name("fixed.csv")
    invoke("label", "export", audited, "--out", out)
    rows = pl.read_csv(out, infer_schema=False)
    wanted = {
        5: ("incorrect", "female", None, "old"), 1: ("not_wear", "female", None, "old"),
        2: ("wear", "female", None, "middle"), 7: ("incorrect", "male", "45", "middle"),
    }  # fmt: skip
    for row, labels in wanted.items():
        assert rows.row(row)[2:6] == labels


def test_an_age_is_typed_and_brings_its_group(page: Page) -> None:
    page.keyboard.press("g")
    page.keyboard.type("64")
    page.keyboard.press("Enter")
    expect(page.locator("button[data-word=old]")).to_have_attribute("aria-pressed", "true")
    press(page, "Enter")
    page.keyboard.press("g")
    page.keyboard.type("200")
    page.keyboard.press("Enter")
    expect(page.locator("#problem")).to_contain_text("expected a whole number from 0 to 120")


def test_a_whole_person_is_mended_at_once(browser: Browser, audited: Path) -> None:
    rows = pl.read_csv(audited, infer_schema=False)
    rows.with_columns(person=pl.Series([f"p{row // 3}" for row in range(len(rows))])).write_csv(
        audited
    )
    with labelling(audited) as (_, address), opened_page(browser, address) as page:
        begin(page)
        expect(page.locator("#related button")).to_have_count(2)
        page.keyboard.press("p")
        page.keyboard.press("s")
        page.keyboard.press("q")  # the mask is this photo's own
        press(page, "Enter")
    out = audited.with_name("fixed.csv")
    invoke("label", "export", audited, "--out", out)
    fixed = pl.read_csv(out, infer_schema=False)[3:6]
    assert fixed["gender"].to_list() == ["female"] * 3
    assert fixed["mask"].to_list() == ["wear", *rows["mask"][4:6]]
    # the third was found for its own mask, which nobody has looked at
    states = invoke("label", "status", audited)["states"]
    assert (states["done"], states["open"]) == (2, len(rows) - 2)


def test_a_key_that_is_held_down_decides_once(page: Page) -> None:
    for _ in range(4):
        page.keyboard.down("r")
    page.keyboard.up("r")
    expect(page.locator("#saved")).to_have_attribute("data-count", "1")
    press(page, "r")
    expect(page.locator("#saved")).to_have_attribute("data-count", "2")


def test_a_first_digit_is_forgotten_at_another_key(page: Page) -> None:
    page.keyboard.press("1")
    expect(page.locator("#class")).to_have_value("1")
    page.keyboard.press("e")
    expect(page.locator("#class")).to_have_value("")
    page.wait_for_timeout(1000)  # longer than a second digit is waited for
    assert page.locator("#saved").get_attribute("data-count") is None
    expect(page.locator("button[data-word=not_wear]")).to_have_attribute("aria-pressed", "true")


def test_filters_and_a_second_pass(page: Page) -> None:
    press(page, "r", "ArrowRight")
    page.locator("#state").select_option("wrong")
    expect(page.locator("#left")).to_have_text("1 left")
    expect(page.locator("#photo-name")).to_contain_text("003.png")
    press(page, "2")
    expect(page.locator("#empty")).to_be_visible()
    page.locator("#empty a", has_text="put off").click()
    expect(page.locator("#photo-name")).to_contain_text("005.png")
    page.locator("#state").select_option("all")
    page.locator("#kind").select_option("gender")
    expect(page.locator("#photo-name")).to_contain_text("007.png")
    expect(page.locator("#left")).to_have_text("1 left")
    page.locator("#kind").select_option("")
    page.locator("#label").select_option("gender=male")
    expect(page.locator("#left")).to_have_text("20 left")


def test_two_people_do_not_overwrite_each_other(browser: Browser, audited: Path) -> None:
    with labelling(audited) as (_, address), opened_page(browser, address) as ann, \
            opened_page(browser, address) as bob:  # fmt: skip
        begin(ann)
        begin(bob, "bob")
        assert shown(ann) == "003.png"
        assert shown(bob) in ("004.png", "006.png")  # six or seven are held for ann
        bob.locator("#person").fill("p3")
        bob.locator("#person").press("Enter")
        bob.locator("#state").select_option("all")
        expect(bob.locator("#empty")).to_be_visible()  # it is held
        press(ann, "Enter")
        bob.locator("#state").select_option("done")
        expect(bob.locator("#photo-name")).to_contain_text("003.png")
        ann.keyboard.press("u")
        expect(ann.locator("#saved")).to_have_text("Taken back: 003.png")
        bob.locator("#frame").focus()
        bob.keyboard.press("8")
        expect(bob.locator("#problem")).to_contain_text("was changed meanwhile: look at it again")
        expect(bob.locator("#saved")).to_have_text("Not saved.")
        expect(bob.locator("#photo-state")).to_have_text("Nobody has decided yet.")
        press(bob, "8")
    assert [who for who, _, _ in events(audited)] == ["ann", "ann", "bob"]


def test_a_kill_loses_nothing_that_was_shown_as_saved(browser: Browser, audited: Path) -> None:
    with labelling(audited) as (process, address), opened_page(browser, address) as page:
        begin(page)
        for _ in range(12):
            press(page, "Enter")
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.keyboard.press("Enter")
        expect(page.locator("#saved")).to_have_text("Not saved.")
        expect(page.locator("#problem")).to_be_visible()
    assert len(events(audited)) == 12
    with labelling(audited) as (_, address), opened_page(browser, address) as page:
        begin(page)
        expect(page.locator("#left")).to_have_text("25 left")


def test_a_photo_that_vanished_can_be_taken_out(browser: Browser, audited: Path) -> None:
    (audited.parent / "photos" / "003.png").unlink()
    with labelling(audited) as (_, address), opened_page(browser, address) as page:
        begin(page)
        expect(page.locator("#gone")).to_be_visible()
        press(page, "Delete")
        expect(page.locator("#gone")).to_be_hidden()
    out = audited.with_name("fixed.csv")
    assert invoke("label", "export", audited, "--out", out)["removed"] == 1


def test_a_manifest_that_was_edited_meanwhile_is_told(page: Page, audited: Path) -> None:
    press(page, "Enter")
    expect(page.locator("#notice")).to_be_hidden()
    before = audited.read_text()
    audited.write_text(before.replace("made", "mend"))
    assert audited.read_text() != before
    expect(page.locator("#notice")).to_contain_text("manifest.csv was edited", timeout=20_000)
    press(page, "Enter")  # and people go on


def test_keys_zoom_and_show_what_they_do(page: Page) -> None:
    before = page.locator("#large").bounding_box()
    page.keyboard.press("+")
    page.keyboard.press("+")
    after = page.locator("#large").bounding_box()
    assert before
    assert after
    assert after["width"] == pytest.approx(2.25 * before["width"], rel=0.05)
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    expect(page.locator("#keys")).to_contain_text("All three labels at once")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    found = Axe().run(page)
    serious = [
        rule for rule in found.response["violations"] if rule["impact"] in ("serious", "critical")
    ]
    assert serious == []
