"""Settings: every problem at once, by key, with the nearest valid name."""

from pathlib import Path

import pytest
import yaml

from maskwise.config import LabelSettings, Settings
from maskwise.errors import SettingsError
from maskwise.settings import describe_settings, load_settings, path_or_variable, setting_keys


def test_words_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("train: {epochs: 7, seed: 3}\nlabels: {drop_ages: [[57, 59]]}\n")
    settings = load_settings(file, ["train.epochs=9", "preprocess.mean=[0.5, 0.5, 0.5]"])
    assert (settings.train.epochs, settings.train.seed) == (9, 3)
    assert settings.labels.drop_ages == ((57, 59),)
    assert settings.preprocess.mean == (0.5, 0.5, 0.5)


def test_every_problem_is_listed_with_its_key() -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(
            None, ["train.epoch=3", "optim.lr=-1", "model.head=three", "nonsense", "augment.flip=2"]
        )
    text = str(raised.value)
    assert "5 wrong setting(s)" in text
    assert "train.epoch: no such setting; did you mean train.epochs?" in text
    assert "optim.lr: input should be greater than 0, got -1" in text
    assert "model.head" in text
    assert "'nonsense' is not of the form section.key=value" in text
    assert "augment.flip" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["labels.task_boundaries=[60, 30]"], "must rise"),
        (["labels.drop_ages=[[60, 120]]"], "leaves no age of the old group"),
        (["model.dropout_samples=4"], "set dropout"),
        (["train.batch_size=10", "train.accumulate=3"], "cannot be cut into 3"),
        (["loss.task_weights={mask: 0, gender: 0, age_group: 0}"], "at least one task"),
        (["model.head=single", "loss.task_weights.mask=2"], "single head has one loss"),
        (["labels.drop_ages=[[50, 40]]"], "holds no age"),
        (["preprocess.std=[0, 1, 1]"], "greater than 0"),
        (["optim.weight_decay=.inf"], "finite"),
        (["train.seed=2001-99-99"], "not a YAML value"),
    ],
)
def test_contradictions_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(None, words)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [", "is not YAML"), (b"- 1", "expected sections"), (b"\xff\xfe\x00", "cannot read")],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=message):
        load_settings(file)
    with pytest.raises(SettingsError, match=r"missing\.yaml"):
        load_settings(tmp_path / "missing.yaml")


def test_description_is_read_back_and_names_every_key() -> None:
    settings = load_settings(None, ["train.epochs=11"])
    text = describe_settings(settings)
    assert Settings.model_validate(yaml.safe_load(text)) == settings
    for key in setting_keys():
        assert f"{key.rpartition('.')[2]}: " in text


def test_a_fold_may_be_a_number() -> None:
    assert load_settings(None, ["train.val_fold=2"]).train.val_fold == "2"


def test_dropped_ages_include_both_ends() -> None:
    labels = LabelSettings(drop_ages=((27, 29), (57, 59)))
    assert [age for age in range(120) if labels.drops(age)] == [27, 28, 29, 57, 58, 59]


def test_variables_stand_in_for_paths() -> None:
    given = {"SM_MODEL_DIR": "/models"}
    assert path_or_variable(None, "SM_MODEL_DIR", "the folder", given) == Path("/models")
    assert path_or_variable(Path("x"), "SM_MODEL_DIR", "the folder", given) == Path("x")
    with pytest.raises(SettingsError, match="no path to the folder: give it, or set SM_MODEL_DIR"):
        path_or_variable(None, "SM_MODEL_DIR", "the folder", {})


@pytest.mark.parametrize("key", ["cache.folder", "augment.mattes"])
def test_paths_may_begin_with_the_home_folder(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    section, name = key.split(".")
    settings = load_settings(None, [f"{key}=~/here"])
    assert getattr(getattr(settings, section), name) == tmp_path / "here"


def test_a_bare_no_means_no(tmp_path: Path) -> None:
    assert load_settings(None, ["train.amp=no"]).train.amp == "no"
    (tmp_path / "own.yaml").write_text("train: {amp: no}\n")
    assert load_settings(tmp_path / "own.yaml").train.amp == "no"
    with pytest.raises(SettingsError, match="amp"):
        load_settings(None, ["train.amp=yes"])
