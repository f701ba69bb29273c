"""The measurement of remedies for shortcuts, without its trainings."""

import json
from pathlib import Path

import pytest
from benchmarks import remedies
from benchmarks.shipped import __main__ as script

from maskwise.data.manifest import manifest_from_rows, read_manifest, write_manifest
from maskwise.settings import load_settings, setting_values

HELD_OUT = ("all_age_faces", "fairface")


def test_every_remedy_is_a_training_of_its_own() -> None:
    trainings = [
        str(setting_values(load_settings(script.RECIPE, [*remedies.SHORT, *words])))
        for words in remedies.REMEDIES.values()
    ]
    assert len(set(trainings)) == len(trainings)


def test_figures_are_those_of_bare_faces_of_held_out_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [
        (source, mask)
        for source in (*HELD_OUT, "utkface", "asian_decades")
        for mask in ("not_wear", "wear")
    ]
    rows = []
    for source, mask in names:
        photo = tmp_path / f"{source}-{mask}.jpg"
        photo.write_bytes(b"")
        rows.append({"photo": str(photo), "person": photo.stem, "source": source, "mask": mask})
    write_manifest(manifest_from_rows(rows), tmp_path / "test.csv")
    out, calls = tmp_path / "out", []

    def maskwise(command: str, *words: object) -> None:
        calls.append(" ".join([command, *(word for word in map(str, words) if word == "--resume")]))
        folder = Path(str(words[list(words).index("--out") + 1]))
        folder.mkdir(parents=True, exist_ok=True)
        if command == "train":
            (folder / "last").mkdir(exist_ok=True)
            (folder / "last" / "model.safetensors").touch()
            return
        shown = read_manifest(Path(str(words[1])))
        assert set(shown["mask"]) == {"not_wear"}
        age = {"balanced_accuracy": 0.5, "recalls": {"old": 0.25}}
        own = {"age_group": age, "gender": {"balanced_accuracy": 0.75}}
        scores = {"by_source": {"sources": dict.fromkeys(shown["source"], own)}}
        (folder / "evaluation.json").write_text(json.dumps(scores))

    for module in (remedies, script):
        monkeypatch.setattr(module, "maskwise", maskwise)
    chosen = ["nothing", "all three"]
    (out / "all-three").mkdir(parents=True)
    (out / "all-three" / "settings.yaml").touch()  # a training that was stopped
    for _ in range(2):  # the second time all is there
        found = remedies.measure(
            tmp_path / "train.csv", tmp_path / "test.csv", tmp_path / "w", out, 8, chosen
        )
        assert list(found) == chosen
        assert set(found["nothing"]) == {*HELD_OUT, "utkface"}
    assert calls == ["train", "evaluate", "train --resume", "evaluate"]
    remedies.print_table(found)
    printed = capsys.readouterr().out.splitlines()
    assert printed[2] == "| nothing | 0.500 | 0.250 | 0.750 | 0.500 | 0.250 | 0.750 | 0.500 |"
    assert len(printed) == 4
