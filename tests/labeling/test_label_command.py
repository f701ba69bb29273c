"""`maskwise label` and its commands, beside the page."""

import json
import shutil
import socket
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from commands import invoke, refused
from conftest import read_rows
from labels_made import FINDINGS, decision, opened
from maskwise.audit.findings import write_findings
from maskwise.cli import app
from maskwise.data.manifest import read_manifest
from maskwise.labeling.decisions import decide
from maskwise.labeling.store import Store


@pytest.fixture
def begun(manifest: Path) -> Path:
    store, _ = opened(manifest, manifest.with_name("manifest-labels.db"))
    with store:
        decide(store, "ann", [decision(1, "label", mask="not_wear"), decision(2, "wrong")])
        decide(store, "bob", [decision(1, "accept", 1)])
    return manifest


def test_words_that_are_no_command_open_the_page(tmp_path: Path) -> None:
    assert "no manifest at" in refused("label", tmp_path / "none.csv")
    assert "no manifest at" in refused("label", "--port", 0, tmp_path / "none.csv")
    help_text = CliRunner().invoke(app, ["label", "--help"]).output
    assert all(name in help_text for name in ("page", "export", "import", "status"))


def test_an_address_that_is_taken_is_said(manifest: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "choose another --host or --port" in refused("label", manifest, "--port", port)


def test_findings_of_another_kind_of_file_are_refused(manifest: Path) -> None:
    said = refused("label", manifest, "--findings", manifest)
    assert "row 2 is no finding" in said


def test_findings_of_other_photos_are_refused(manifest: Path, tmp_path: Path) -> None:
    listed = tmp_path / "findings.csv"
    others = read_manifest(manifest).with_columns(
        pl.concat_str(pl.lit("/x"), "photo").alias("photo")
    )
    write_findings(listed, others, FINDINGS, manifest.parent)
    said = refused("label", manifest, "--findings", listed)
    assert "is about none of the manifest's photos" in said


def test_export_writes_both_files_and_keeps_the_manifest(begun: Path, tmp_path: Path) -> None:
    before = begun.read_bytes()
    out = tmp_path / "better.csv"
    result = invoke("label", "export", begun, "--out", out)
    assert (result["changed"], result["removed"], result["fields"]) == (1, 0, 1)
    assert read_rows(out)["mask"][0] == "not_wear"
    lines = (tmp_path / "better-corrections.csv").read_text().splitlines()
    assert lines[0] == "id,field,from,to,who,when"
    assert lines[1].split(",")[1:5] == ["mask", "wear", "not_wear", "ann"]
    assert begun.read_bytes() == before
    assert "is there already" in refused("label", "export", begun, "--out", out)
    again = tmp_path / "again.csv"
    invoke("data", "fix", begun, tmp_path / "better-corrections.csv", "--out", again)
    assert read_rows(again).equals(read_rows(out))


def test_an_export_counts_what_is_not_settled(begun: Path, tmp_path: Path) -> None:
    whole = invoke("label", "export", begun, "--out", tmp_path / "whole.csv")
    settled = {state: whole[state] for state in ("wrong", "skipped", "disputed")}
    assert settled == {"wrong": 1, "skipped": 0, "disputed": 0}
    with Store(begun.with_name("manifest-labels.db")) as store:
        decide(store, "ann", [decision(6, "skip"), decision(7, "wrong"), decision(8, "wrong")])
    out = str(tmp_path / "some.csv")
    done = CliRunner().invoke(app, ["label", "export", str(begun), "--json", "--out", out])
    some = json.loads(done.stdout)
    assert (some["wrong"], some["skipped"], some["open"]) == (3, 1, whole["open"] - 3)
    assert "3 wrong, 1 skipped: these keep the labels of manifest.csv" in done.stderr


def test_no_export_writes_over_what_it_came_from(begun: Path, tmp_path: Path) -> None:
    kept = {path: path.read_bytes() for path in (begun, begun.with_name("manifest-labels.db"))}
    for path in kept:
        for words in (["--out", path], ["--out", path, "--as", "label-studio"],
                      ["--out", tmp_path / "a.csv", "--corrections", path]):  # fmt: skip
            told = refused("label", "export", begun, *words, "--force")
            assert "is never changed by an export" in told
    (tmp_path / "tasks.json").write_text("mine")
    words = ["--as", "label-studio", "--out", tmp_path / "tasks.json"]
    assert "is there already" in refused("label", "export", begun, *words)
    (tmp_path / "b-corrections.csv").write_text("mine")
    assert "is there already" in refused("label", "export", begun, "--out", tmp_path / "b.csv")
    assert kept == {path: path.read_bytes() for path in kept}
    assert not (tmp_path / "a.csv").exists()
    assert not (tmp_path / "b.csv").exists()


def test_a_list_of_corrections_goes_where_the_photos_go(begun: Path, tmp_path: Path) -> None:
    invoke("label", "export", begun, "--out", tmp_path / "better.csv")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(begun.parent, elsewhere)
    listed = tmp_path / "better-corrections.csv"
    assert listed.read_text().splitlines()[1].startswith("photos/000.png,mask,")
    moved = elsewhere / begun.name
    moved.write_text(begun.read_text().replace(str(begun.parent), str(elsewhere)))
    invoke("data", "fix", moved, listed, "--out", elsewhere / "fixed.csv")
    assert read_rows(elsewhere / "fixed.csv")["mask"][0] == "not_wear"


def test_status_tells_how_far_it_is_and_how_people_agree(begun: Path) -> None:
    result = invoke("label", "status", begun)
    assert result["states"]["done"] == 1
    assert [each["decisions"] for each in result["people"]] == [2, 1]
    assert [each["task"] for each in result["agreement"]] == ["mask", "gender", "age_group"]
    text = CliRunner().invoke(app, ["label", "status", str(begun)]).output
    assert "kappa" in text


def test_what_was_never_begun_is_said(manifest: Path, tmp_path: Path) -> None:
    for words in (("status", manifest), ("export", manifest, "--out", tmp_path / "x.csv")):
        assert "no decisions at" in refused("label", *words)
    assert not manifest.with_name("manifest-labels.db").exists()
