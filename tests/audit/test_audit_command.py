"""`maskwise data audit` from manifest to page."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from commands import invoke, refused
from conftest import read_rows
from maskwise.audit.audit import audit_manifest
from maskwise.audit.findings import KINDS
from maskwise.audit.page import write_page
from maskwise.audit.predictions import answered_tasks
from maskwise.cli.output import photo_bar
from maskwise.config import CacheSettings
from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.errors import ManifestError
from maskwise.evaluation.tables import CLASS_COLUMNS
from maskwise.labels import MaskState
from maskwise.models.loading import SHIPPED, open_classifier
from maskwise.models.probabilities import Tasks
from people import labels, person

NONE = ("--detector", "none", "--workers", 0)


@pytest.fixture
def set_of_people(tmp_path: Path) -> Path:
    """Return a manifest of drawn people, one of whom has masks that changed places."""
    rows = []
    for number in range(4):
        for state in (MaskState.WEAR, MaskState.NOT_WEAR):
            path = tmp_path / "photos" / f"{number}-{state}.png"
            path.parent.mkdir(exist_ok=True)
            person(number, state).save(path)
            rows.append({"photo": str(path), "mask": str(state), **labels(number)})
    rows[0]["mask"], rows[1]["mask"] = rows[1]["mask"], rows[0]["mask"]
    manifest = tmp_path / "manifest.csv"
    write_manifest(manifest_from_rows(rows), manifest)
    return manifest


def test_the_model_that_comes_along_finds_masks_that_changed_places(set_of_people: Path) -> None:
    before = set_of_people.read_bytes()
    result = invoke("data", "audit", set_of_people, "--workers", 0)
    assert result["answered"] == result["photos"] == 8
    assert result["findings"]["swap"] == 1
    table = pl.read_csv(result["table"], infer_schema=False).filter(pl.col("kind") == "swap")
    assert sorted(zip(*table.select("from", "to"), strict=True)) == [
        ("not_wear", "wear"), ("wear", "not_wear")
    ]  # fmt: skip
    assert {Path(photo).name[0] for photo in table["photo"]} == {"0"}
    page = Path(result["page"]).read_text()
    assert "photos of a person whose mask labels changed places" in page
    assert page.count('<img src="data:image/jpeg;base64,') >= 2
    assert set_of_people.read_bytes() == before


def test_answers_of_a_cross_validation_are_taken_by_photo(manifest: Path, tmp_path: Path) -> None:
    rows = read_manifest(manifest)
    order = np.random.default_rng(0).permutation(len(rows))
    sure = np.full((len(rows), len(CLASS_COLUMNS)), 0.01)
    codes = [number % 3 * 6 + number // 3 % 2 * 3 + number // 6 % 3 for number in range(len(rows))]
    codes[4] = (codes[4] + 6) % 18  # looks like another mask state
    sure[np.arange(len(rows)), codes] = 0.83
    answers = pl.DataFrame({"photo": rows["photo"], "box": rows["box"],
                            **dict(zip(CLASS_COLUMNS, sure.T, strict=True))})  # fmt: skip
    run = tmp_path / "cv"
    run.mkdir()
    answers[order][:-1].write_csv(run / "oof.csv")
    result = invoke("data", "audit", manifest, "--model", run, "--folds", *NONE)
    assert result["answered"] == len(rows) - 1
    table = pl.read_csv(result["table"], infer_schema=False).filter(pl.col("kind") == "mask")
    assert table["photo"].to_list() == ["photos/004.png"]
    assert (table["from"][0], table["to"][0]) == (
        "not_wear" if 4 % 3 == 2 else "incorrect",
        "not_wear",
    )


def test_photos_that_vanished_are_findings_and_the_others_are_asked(set_of_people: Path) -> None:
    gone = sorted((set_of_people.parent / "photos").iterdir())[-1]
    gone.unlink()
    result = invoke("data", "audit", set_of_people, "--workers", 0)
    assert result["answered"] == 7
    assert result["findings"]["unreadable"] == 1
    assert str(gone) in Path(result["table"]).read_text()


def test_photos_that_vanish_after_they_were_measured_are_findings(set_of_people: Path) -> None:
    frame = read_manifest(set_of_people)
    photos = [Path(photo) for photo in frame["photo"]]
    model = open_classifier(SHIPPED)
    asked: list[int] = []

    def predict(readable: NDArray[np.bool_]) -> Tasks:
        asked.append(int(readable.sum()))
        photos[-1].unlink(missing_ok=True)
        photos[-2].write_bytes(b"no photo any more")
        return answered_tasks(model, frame, readable, CacheSettings())

    found = audit_manifest(frame, "none", 0, photo_bar, predict)
    assert asked == [8, 6]
    assert found.asked == 6
    assert found.counts["unreadable"] == 2
    assert {finding.rows for finding in found.findings if finding.kind == "unreadable"} == {
        (6,), (7,)
    }  # fmt: skip
    write_page(set_of_people.with_suffix(".html"), found, {})
    assert photos[-1].name in set_of_people.with_suffix(".html").read_text()


def test_a_model_that_cannot_be_shown_a_readable_photo_stops_the_audit(manifest: Path) -> None:
    def predict(readable: NDArray[np.bool_]) -> Tasks:
        raise ManifestError(f"{int(readable.sum())} photos have odd boxes")

    with pytest.raises(ManifestError, match="odd boxes"):
        audit_manifest(read_manifest(manifest), "none", 0, photo_bar, predict)


def test_without_a_model_only_photos_are_looked_at(manifest: Path, tmp_path: Path) -> None:
    shutil.copy(read_manifest(manifest)["photo"][0], tmp_path / "again.png")
    rows = read_rows(manifest)
    again = rows[:1].with_columns(photo=pl.lit(str(tmp_path / "again.png")), person=pl.lit("p99"))
    pl.concat([rows, again]).write_csv(manifest)
    out = tmp_path / "out"
    result = invoke("data", "audit", manifest, "--model", "none", "--out", out, *NONE)
    assert result["answered"] == 0
    assert result["findings"]["duplicate"] == 1
    assert set(result["findings"]) == {"duplicate", "odd_size"}
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "findings.csv"]


def test_a_clean_set_has_no_findings(tmp_path: Path) -> None:
    rows = []
    for number in range(3):
        path = tmp_path / f"{number}.png"
        person(number).save(path)
        rows.append({"photo": str(path), "mask": "not_wear", **labels(number)})
    found = audit_manifest(manifest_from_rows(rows), "yunet", 0, photo_bar)
    assert (found.findings, found.counts, found.asked) == ([], {}, 0)


def test_findings_are_ordered_by_how_sure_they_are(set_of_people: Path) -> None:
    scores = pl.read_csv(invoke("data", "audit", set_of_people, "--workers", 0)["table"])
    assert scores["score"].is_sorted(descending=True)
    assert set(scores["kind"]) <= set(KINDS)


def test_what_cannot_be_done_is_said(manifest: Path, tmp_path: Path) -> None:
    assert "has no oof.csv" in refused("data", "audit", manifest, "--model", tmp_path, "--folds")
    assert "name it, --model" in refused("data", "audit", manifest, "--folds")
    assert "no face detector 'x'" in refused(
        "data", "audit", manifest, "--detector", "x", "--model", "none", "--workers", 0
    )
    run = tmp_path / "cv"
    run.mkdir()
    other = pl.DataFrame(
        {"photo": ["/elsewhere.png"], **{name: [1 / 18] for name in CLASS_COLUMNS}}
    )
    other.write_csv(run / "oof.csv")
    said = refused("data", "audit", manifest, "--model", run, "--folds")
    assert "is of other photos: none of the manifest's 37 is in it" in said
