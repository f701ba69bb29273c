"""The page in a browser: photos, the camera, the door, for everybody."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from browsing import chromium, opened_page
from commands import wait_for
from film import door
from maskwise.serving.keys import add_key
from people import person, saved
from service import Service, crowd, service

VIEWS = ("photos", "camera", "checkpoint")


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with service() as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium with a camera that shows a film of a door."""
    film = door(tmp_path_factory.mktemp("film") / "door.mjpeg")
    with chromium(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, running: Service) -> Iterator[Page]:
    """The page, from which nothing goes elsewhere and in which nothing fails."""
    with opened_page(browser, running.address) as page:
        yield page


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(person(1), tmp_path_factory.mktemp("photos") / "door.png")


def show(page: Page, view: str) -> None:
    page.locator(f"#tab-{view}").click()
    expect(page.locator(f"#{view}")).to_be_visible()


def test_photos_are_chosen_and_answered(page: Page, photo: Path, tmp_path: Path) -> None:
    nobody, broken = tmp_path / "wall.png", tmp_path / "broken.png"
    person(1).crop((0, 0, 192, 40)).save(nobody)
    broken.write_bytes(b"nonsense")
    page.set_input_files("#files", [photo, nobody, broken])
    expect(page.locator("#photos-status")).to_have_text("Photos answered: 2")
    cards = page.locator("#results > li")
    expect(cards).to_have_count(3)  # the newest first
    expect(cards.nth(0)).to_contain_text("not an image that can be read")
    expect(cards.nth(1)).to_contain_text("No face found.")
    expect(cards.nth(2).locator("h3")).to_have_text("door.png")
    expect(cards.nth(2).locator(".chip")).to_have_count(1)
    assert "male" not in cards.nth(2).inner_text()
    page.locator("#photos .people").check()
    page.set_input_files("#files", [photo])
    expect(cards).to_have_count(4)
    assert "male" in cards.nth(0).inner_text()


@pytest.mark.parametrize(("target", "event"), [("#drop", "drop"), ("body", "paste")])
def test_photos_are_dropped_and_pasted(page: Page, photo: Path, target: str, event: str) -> None:
    content = list(photo.read_bytes())
    page.evaluate(
        """([target, event, content]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(content)], "sent.png", {type: "image/png"}));
            const options = {bubbles: true, dataTransfer: data, clipboardData: data};
            const kind = event === "paste" ? ClipboardEvent : DragEvent;
            document.querySelector(target).dispatchEvent(new kind(event, options));
        }""",
        [target, event, content],
    )
    expect(page.locator("#results h3")).to_have_text(["sent.png"])


def test_the_door_tells_who_may_pass_and_counts(page: Page) -> None:
    show(page, "checkpoint")
    expect(page.locator(".nobody")).to_contain_text("Start the camera")
    page.evaluate(
        """() => {
            window.seen = [];
            const wall = document.getElementById("verdicts");
            new MutationObserver(() => window.seen.push(
                [...wall.querySelectorAll(".verdict")].map((one) => one.dataset.state).join("+")
            )).observe(wall, {childList: true});
        }"""
    )
    page.locator("#check-start").click()
    worn, wrong = (
        page.locator('[data-count="wear"]'),
        page.locator(".verdict:not(.wear, .checking)"),
    )
    expect(page.locator(".verdict.wear")).to_have_text("Mask worn properly", timeout=30_000)
    expect(page.locator(".verdict.wear svg")).to_be_visible()
    expect(worn).to_have_text("1", timeout=20_000)
    expect(wrong.first).to_be_visible(timeout=20_000)
    expect(page.locator(".verdict")).to_have_count(2, timeout=20_000)
    passed = page.locator("dd")
    expect(passed.nth(0)).to_have_text("2", timeout=20_000)
    assert sum(int(one) for one in passed.all_inner_texts()) == 4
    assert page.locator("#chart rect").count() >= 2
    assert "male" not in page.locator("#checkpoint").inner_text()
    page.locator("#check-start").click()
    seen = page.evaluate("window.seen")
    assert len(seen) <= 16  # each comes, is told and goes; nothing flickers
    page.locator("#reset").click()
    assert passed.all_inner_texts() == ["0", "0", "0"]


def test_the_camera_draws_people_with_words(page: Page) -> None:
    show(page, "camera")
    page.locator("#camera-start").click()
    line = page.locator("#camera-people li").first
    expect(line).to_contain_text("Person 1", timeout=30_000)
    expect(line.locator(".chip.wear, .chip.incorrect, .chip.not_wear")).to_be_visible(timeout=9_000)
    assert page.evaluate("document.getElementById('camera-overlay').width") == 640
    page.locator("#camera-start").click()
    expect(page.locator("#camera-people li")).to_have_count(0)


def test_a_camera_that_is_not_there_is_told(browser: Browser, running: Service) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(
            "navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('no device'))"
        )
        page.goto(running.address + "/#camera")
        page.locator("#camera-start").click()
        expect(page.locator("#problem")).to_have_text("The camera cannot be used: no device")


def test_languages_and_colours_are_kept(page: Page) -> None:
    page.locator("#language").select_option("ko")
    page.locator("#theme").select_option("dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("lang", "ko")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator("#tab-checkpoint")).to_have_text("출입 확인")
    assert not page.evaluate(
        "[...document.querySelectorAll('[data-text]')].filter((one) => !one.textContent).length"
    )


def test_the_browser_chooses_the_language_first(browser: Browser, running: Service) -> None:
    with browser.new_context(locale="ko-KR") as context:
        page = context.new_page()
        page.goto(running.address)
        expect(page.locator("html")).to_have_attribute("lang", "ko")


def test_languages_say_the_same_things(running: Service) -> None:
    source = running.get("/static/words.js")
    english, korean = source.split("  ko: {")
    names = [
        {part.split(":")[0].strip() for part in text.replace("\n", " ").split('", ')}
        for text in (english.split("  en: {")[1].split("\n  },")[0], korean.split("\n  },")[0])
    ]
    assert names[0] == names[1]
    assert len(names[0]) > 40


def test_the_keyboard_is_enough(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator("#tab-photos")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#tab-checkpoint")).to_be_focused()
    expect(page.locator("#checkpoint")).to_be_visible()
    for _ in range(3):
        page.keyboard.press("Tab")
    expect(page.locator("#check-start")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#check-start")).to_have_text("Stop the camera")
    expect(page.locator(".verdict").first).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_nothing_keeps_anybody_out(
    browser: Browser, running: Service, photo: Path, theme: str, language: str
) -> None:
    with browser.new_context(bypass_csp=True) as context:  # axe is put into the page
        page = context.new_page()
        page.goto(running.address)
        page.locator("#theme").select_option(theme)
        page.locator("#language").select_option(language)
        page.set_input_files("#files", [photo])
        expect(page.locator("#results .chip")).to_have_count(1)
        for view in VIEWS:
            show(page, view)
            if view == "checkpoint":
                page.locator("#check-start").click()
                expect(page.locator(".verdict").first).to_be_visible(timeout=30_000)
            found: list[dict[str, Any]] = Axe().run(page).response["violations"]
            serious = [one for one in found if one["impact"] in ("serious", "critical")]
            assert [(one["id"], one["help"]) for one in serious] == []


def test_it_fits_a_phone(browser: Browser, running: Service, photo: Path) -> None:
    with browser.new_context(viewport={"width": 360, "height": 700}, is_mobile=True) as context:
        page = context.new_page()
        page.goto(running.address)
        page.set_input_files("#files", [photo])
        expect(page.locator("#results .chip")).to_have_count(1)
        for view in VIEWS:
            show(page, view)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            for button in page.locator("button:visible").all():
                box = button.bounding_box()
                assert box is not None
                assert box["height"] >= 44


def test_a_lost_service_is_told_and_found_again(browser: Browser) -> None:
    with service() as first, browser.new_context() as context:
        page = context.new_page()
        page.goto(first.address + "/#camera")
        page.locator("#camera-start").click()
        expect(page.locator("#camera-people li").first).to_be_visible(timeout=30_000)
        first.process.kill()
        first.process.wait()
        expect(page.locator("#problem")).to_contain_text("The connection was lost", timeout=15_000)
        with service("--port", first.port):
            expect(page.locator("#problem")).to_be_hidden(timeout=30_000)


def test_the_door_forgets_its_verdicts_when_nothing_is_known(browser: Browser) -> None:
    with service() as first, browser.new_context() as context:
        page = context.new_page()
        page.goto(first.address + "/#checkpoint")
        page.locator("#check-start").click()
        told, blind = page.locator(".verdict.wear"), page.locator("#board .nobody.blind")
        expect(told.first).to_be_visible(timeout=30_000)
        first.process.send_signal(signal.SIGSTOP)
        expect(blind).to_have_text(
            "Not checking. The service does not answer; trying again …", timeout=15_000
        )
        assert page.locator(".verdict").count() == 0
        assert page.evaluate("document.getElementById('check-overlay').width") == 0
        first.process.send_signal(signal.SIGCONT)
        expect(blind).to_have_count(0, timeout=30_000)
        expect(page.locator(".verdict").first).to_be_visible(timeout=30_000)
        first.process.kill()
        expect(blind).to_contain_text("Not checking. The connection was lost", timeout=15_000)
        assert page.locator(".verdict").count() == 0


def test_too_many_cameras_are_told_as_such(browser: Browser) -> None:
    with service("--streams", 0) as full, browser.new_context() as context:
        page = context.new_page()
        page.goto(full.address + "/#camera")
        page.locator("#camera-start").click()
        expect(page.locator("#problem")).to_have_text("The service is busy; trying again …")


def test_a_camera_that_comes_too_late_is_let_go(page: Page) -> None:
    page.evaluate(
        """() => {
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            window.tracks = [];
            navigator.mediaDevices.getUserMedia = async (wanted) => {
                await new Promise((done) => setTimeout(done, 500));
                const media = await ask(wanted);
                window.tracks.push(...media.getTracks());
                return media;
            };
        }"""
    )
    show(page, "camera")
    page.locator("#camera-start").click()
    expect(page.locator("#camera-start")).to_be_disabled()  # no second camera meanwhile
    show(page, "photos")
    wait_for(lambda: page.evaluate("window.tracks[0]?.readyState === 'ended'"))
    show(page, "camera")
    expect(page.locator("#camera-start")).to_have_text("Start the camera")
    page.locator("#camera-start").click()
    expect(page.locator("#camera-people li").first).to_be_visible(timeout=30_000)
    assert page.evaluate("window.tracks.map((one) => one.readyState)") == ["ended", "live"]


def test_the_door_is_heard_and_fills_the_screen(page: Page) -> None:
    page.evaluate(
        """() => {
            window.tones = 0;
            const start = OscillatorNode.prototype.start;
            OscillatorNode.prototype.start = function () { window.tones += 1; start.call(this); };
        }"""
    )
    show(page, "checkpoint")
    page.locator("#full").click()
    wait_for(lambda: page.evaluate("document.fullscreenElement?.id === 'board'"))
    page.evaluate("document.exitFullscreen()")
    page.locator("#check-start").click()
    expect(page.locator(".verdict.wear").first).to_be_visible(timeout=30_000)
    assert page.evaluate("window.tones") == 0
    page.locator("#sound").check()
    wait_for(lambda: page.evaluate("window.tones > 0"))


def test_a_phone_without_full_screen_shows_no_button_for_it(
    browser: Browser, running: Service
) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        page.add_init_script(
            "Object.defineProperty(Document.prototype, 'fullscreenEnabled', {get: () => undefined})"
        )
        page.goto(running.address + "/#checkpoint")
        expect(page.locator("#check-start")).to_be_visible()
        expect(page.locator("#full")).to_be_hidden()


def test_one_photo_that_is_refused_keeps_no_other_back(
    browser: Browser, photo: Path, tmp_path: Path
) -> None:
    large, many = tmp_path / "large.bin.png", tmp_path / "many.jpg"
    large.write_bytes(bytes(700_000))
    wide = saved(Image.new("RGB", (900, 900)), tmp_path / "wide.png")
    many.write_bytes(crowd(60))
    limits = ("--megabytes", 0.5, "--megapixels", 0.5)
    with service(*limits) as small, browser.new_context() as context:
        page = context.new_page()
        page.goto(small.address)
        page.set_input_files("#files", [large, wide, many, photo])
        cards = page.locator("#results > li")
        expect(cards).to_have_count(4, timeout=30_000)
        expect(cards.nth(0).locator(".chip")).to_have_count(1)
        expect(cards.nth(1)).to_contain_text("Faces that were left out: 10")
        expect(cards.nth(1).locator(".chip")).to_have_count(50)
        expect(cards.nth(2)).to_contain_text("more than 500,000 pixels")
        expect(cards.nth(3)).to_contain_text("larger than 0.5 MB")
        expect(page.locator("#photos-status")).to_have_text("Photos answered: 2")


def test_a_key_is_asked_for(browser: Browser, photo: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "door")
    asked = ("--keys", tmp_path / "keys.txt", "--no-people")
    with service(*asked) as running, browser.new_context() as context:
        page = context.new_page()
        page.goto(running.address)
        expect(page.locator("#about")).to_have_text("Maskwise 0.1.0")
        expect(page.locator("#photos .people")).to_be_hidden()
        page.set_input_files("#files", [photo])
        expect(page.locator("#problem")).to_contain_text("API key")
        page.locator("#key").fill(key)
        page.keyboard.press("Enter")
        page.set_input_files("#files", [photo])
        expect(page.locator("#results .chip")).to_have_count(1)
        show(page, "camera")
        page.locator("#camera-start").click()
        expect(page.locator("#camera-people li").first).to_be_visible(timeout=30_000)
