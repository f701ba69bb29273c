"""The measurement of remedies for shortcuts, without its trainings."""

import json
from pathlib import Path

import polars as pl
import pytest
from benchmarks import remedies

from maskwise.settings import load_settings, setting_values

HELD_OUT = ("all_age_faces", "fairface")


def test_every_remedy_is_a_training_of_its_own() -> None:
    trainings = [
        str(setting_values(load_settings(remedies.RECIPE, [*remedies.SHORT, *words])))
        for words in remedies.REMEDIES.values()
    ]
    assert len(set(trainings)) == len(trainings)


def test_figures_are_those_of_bare_faces_of_held_out_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"photo": f"{source}-{mask}.jpg", "source": source, "mask": mask}
        for source in (*HELD_OUT, "utkface", "asian_decades")
        for mask in ("not_wear", "wear")
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "test.csv")
    out, calls = tmp_path / "out", []

    def maskwise(command: str, *words: object) -> None:
        calls.append(command)
        folder = Path(str(words[list(words).index("--out") + 1]))
        folder.mkdir(parents=True)
        if command == "train":
            (folder / "last").mkdir()
            (folder / "last" / "model.safetensors").touch()
            return
        shown = pl.read_csv(str(words[1]))
        assert set(shown["mask"]) == {"not_wear"}
        age = {"balanced_accuracy": 0.5, "recalls": {"old": 0.25}}
        own = {"age_group": age, "gender": {"balanced_accuracy": 0.75}}
        scores = {"by_source": {"sources": dict.fromkeys(shown["source"], own)}}
        (folder / "evaluation.json").write_text(json.dumps(scores))

    monkeypatch.setattr(remedies, "maskwise", maskwise)
    names = ["nothing", "all three"]
    for _ in range(2):  # the second time all is there
        found = remedies.measure(
            tmp_path / "train.csv", tmp_path / "test.csv", tmp_path / "w", out, 8, names
        )
        assert list(found) == names
        assert set(found["nothing"]) == {*HELD_OUT, "utkface"}
    assert calls == ["train", "evaluate"] * 2
    remedies.print_table(found)
    printed = capsys.readouterr().out.splitlines()
    assert printed[2] == "| nothing | 0.500 | 0.250 | 0.750 | 0.500 | 0.250 | 0.750 | 0.500 |"
    assert len(printed) == 4
