"""YAML of settings: what is read, and what is refused at once."""

from pathlib import Path

import pytest
import yaml

from maskwise.config import Settings
from maskwise.errors import SettingsError
from maskwise.experiments.queue import read_job
from maskwise.experiments.space import read_space
from maskwise.settings import load_settings
from maskwise.transforms.augment.policy import read_policy
from maskwise.yaml_text import parse_yaml

TWICE = "train: {epochs: 9}\noptim: {lr: 0.1}\ntrain: {batch_size: 8}\n"
BOMB = "a0: &a0 [1, 1]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


def test_plain_yaml_is_read() -> None:
    text = (
        "base: &base {lr: 0.1, name: sgd}\noptim: {<<: *base, lr: 0.2}\nno: [1, {a: 1}, {a: 2}]\n"
    )
    assert parse_yaml(text) == yaml.safe_load(text)
    merged = "a: &a {x: 1}\nbase: {inner: &b {<<: *a, x: 2}}\ntop: {<<: *b, y: 3}\n"
    assert parse_yaml(merged) == yaml.safe_load(merged)
    assert parse_yaml("{1: a, '1': b}") == {1: "a", "1": "b"}
    assert parse_yaml("") is None
    assert parse_yaml("0.1") == 0.1


@pytest.mark.parametrize(
    "text",
    [TWICE, "{a: 1, b: {c: 1, c: 1}}", "a: 1\n'a': 2\n", "{yes: 1, true: 2}", "{1: a, 1.0: b}"],
)
def test_a_key_that_stands_twice_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match=r"stands in line \d and in line \d"):
        parse_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [(BOMB, "stands for more than"), ("a: &a [*a]", "stands for what holds it"),
     ("[" * 5000 + "]" * 5000, "nested too deeply")],
)  # fmt: skip
def test_bombs_are_refused_at_once(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError, match=message):  # else it takes hours
        parse_yaml(text)


@pytest.mark.parametrize("text", ["!!timestamp foo", "!!int ''", "!!bool z"])
def test_values_that_tags_are_wrong_for_are_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="a value cannot be read"):
        parse_yaml(text)


@pytest.mark.parametrize("text", [TWICE, BOMB])
def test_every_reader_refuses_them(tmp_path: Path, text: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text)
    for read in (
        lambda: load_settings(file, []),
        lambda: read_job(file),
        lambda: read_space(file, Settings()),
        lambda: read_policy(file),
    ):
        with pytest.raises(SettingsError, match=r"file\.yaml"):
            read()
    with pytest.raises(SettingsError, match="not a YAML value"):
        load_settings(None, ["train.repeat={old: 2, old: 3}"])
