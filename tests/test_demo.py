"""`maskwise demo`, made small: its last two lines, its report, and what it refuses to replace."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from maskwise.cli import app
from maskwise.serving import screenshot

SMALL = (
    "--people", "12",
    "--set", "model.backbone=test_efficientnet",
    "--set", "model.pretrained=none",
    "--set", "train.epochs=1",
    "--set", "cache.workers=0",
)  # fmt: skip


def test_demo_ends_with_report_and_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    for taken in (True, False):  # a second demo replaces the first
        if not taken:
            monkeypatch.setattr(screenshot, "browser_program", lambda: None)
        result = CliRunner().invoke(app, ["demo", "--out", str(out), *SMALL])
        assert result.exit_code == 0, result.output + repr(result.exception)
        report, score = result.stdout.splitlines()[-2:]
        assert report == f"report {out / 'report.html'}"
        assert 0 <= float(score.removeprefix("macro-F1 ")) <= 1
        report_page = (out / "report.html").read_text()
        assert "macro-F1 over the classes present" in report_page
        assert (out / "page.png").exists() == taken
        assert ("<h2>The page</h2>" in report_page) == taken
    assert len((out / "predictions.csv").read_text().splitlines()) == 6 * 7 + 1


def test_demo_keeps_other_peoples_folders(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("precious")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path), *SMALL])
    assert "holds other things" in str(result.exception)
    assert mine.read_text() == "precious"


def test_demo_checks_its_settings_before_it_removes_anything(tmp_path: Path) -> None:
    (tmp_path / ".maskwise-demo").write_text("")
    (tmp_path / "report.html").write_text("the last one")
    words = ["demo", "--out", str(tmp_path), "--set", "train.epoch=1"]
    assert "did you mean train.epochs" in str(CliRunner().invoke(app, words).exception)
    assert (tmp_path / "report.html").exists()
