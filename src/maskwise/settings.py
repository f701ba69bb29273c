"""Settings from YAML files, `section.key=value` words and SM_* variables."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from maskwise.config import Settings
from maskwise.errors import SettingsError, did_you_mean, listed
from maskwise.recipes import find_recipe
from maskwise.storage import write_text
from maskwise.yaml_text import parse_yaml


def load_settings(
    file: Path | None = None, overrides: Sequence[str] = (), base: Path | None = None
) -> Settings:
    """Read settings from a YAML file and `section.key=value` words; words win.

    What neither sets is as in the YAML file `base`, such as a recipe. A file may itself build on
    one: its key `recipe` names a recipe of the package, or a file beside it.

    Raises:
        SettingsError: a file is missing or no YAML, or any key or value is wrong; all at once.
    """
    tree = _read_tree(base) if base else {}
    if file:
        tree = _merged(tree, _read_tree(file), Settings)
    problems = [problem for word in overrides if (problem := _override(tree, word))]
    return check_settings(tree, problems)


def check_settings(tree: Mapping[str, Any], problems: Sequence[str] = ()) -> Settings:
    """Return settings from sections and their values; `problems` were found before.

    Raises:
        SettingsError: there were, or any key or value is wrong; all at once.
    """
    found = list(problems)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        found.extend(_problems(error))
    if found:
        raise SettingsError(f"{len(found)} wrong setting(s):\n{listed(found)}")
    return settings


def _read_tree(file: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return what a file sets, and below it what the recipe sets that it builds on."""
    tree = _read_yaml(file)
    if "recipe" not in tree:
        return tree
    name = tree.pop("recipe")
    if not isinstance(name, str):
        raise SettingsError(f"{file}: recipe: expected a name or a YAML file, found {name!r}")
    beside = file.parent / name
    below = find_recipe(str(beside) if beside.is_file() else name).path
    if below.resolve() in above or below.resolve() == file.resolve():
        raise SettingsError(f"{file}: recipe: {name} builds on this file itself")
    return _merged(_read_tree(below, (*above, file.resolve())), tree, Settings)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        tree = parse_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the settings file {file}: {error}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{file} is not YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError(f"{file}: expected sections such as 'train:', found {tree!r}")
    return tree


def _merged(below: dict[str, Any], above: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return two trees as one; where both set a key, the one above wins."""
    merged = dict(below)
    for name, value in above.items():
        section = _section(model, name)
        if section and isinstance(value, dict) and isinstance(below.get(name), dict):
            merged[name] = _merged(below[name], value, section)
        else:
            merged[name] = value
    return merged


def _section(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    inner = field.annotation if field else None
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _override(tree: dict[str, Any], word: str) -> str | None:
    """Set one `section.key=value` in the tree; return what is wrong with it, if anything."""
    key, equals, text = word.partition("=")
    if not equals or not key:
        return f"{word!r} is not of the form section.key=value"
    *sections, name = key.split(".")
    for section in sections:
        child = tree.setdefault(section, {})
        if not isinstance(child, dict):
            return f"{key}: {section} is not a section"
        tree = child
    try:
        tree[name] = parse_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        return f"{key}: {text!r} is not a YAML value: {error}"
    return None


def _problems(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            yield f"{path}: no such setting{_nearest(path)}"
        elif item["type"] == "value_error":
            for line in item["msg"].removeprefix("Value error, ").splitlines():
                yield f"{path or 'settings'}: {line}"
        else:
            text = f"{path}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}"
            yield text + _nearest_choice(item)


def _nearest_choice(item: ErrorDetails) -> str:
    """Return the choice that a wrong word may have meant, where one is near."""
    choices = re.findall(r"'([^']+)'", item.get("ctx", {}).get("expected", ""))
    return did_you_mean(str(item["input"]), choices)


def _nearest(path: str) -> str:
    keys = setting_keys()
    close = difflib.get_close_matches(path, keys, n=1) or [
        key for key in keys if key.rpartition(".")[2] == path.rpartition(".")[2]
    ]
    return (
        f"; did you mean {close[0]}?" if close else f"; known: {', '.join(Settings.model_fields)}"
    )


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> list[str]:
    """Return every key that can be set, such as 'train.epochs'."""
    keys: list[str] = []
    for name in model.model_fields:
        inner = _section(model, name)
        if inner:
            keys.extend(setting_keys(inner, f"{prefix}{name}."))
        else:
            keys.append(prefix + name)
    return keys


def setting_values(settings: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return every setting by its key, such as 'train.epochs', as plain values."""
    values: dict[str, Any] = {}
    plain = settings.model_dump(mode="json")
    for name in type(settings).model_fields:
        inner = getattr(settings, name)
        if isinstance(inner, BaseModel):
            values |= setting_values(inner, f"{prefix}{name}.")
        else:
            values[prefix + name] = plain[name]
    return values


def write_settings(path: Path, settings: Settings) -> None:
    """Write settings to a YAML file that `load_settings` reads.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    write_text(path, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def describe_settings(settings: BaseModel, indent: str = "") -> str:
    """Return settings as YAML with each one's meaning as a comment; `load_settings` reads it."""
    lines = []
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            lines.append(f"{indent}{name}:\n{describe_settings(value, indent + '  ')}")
            continue
        if field.description:
            lines.append(f"{indent}# {field.description}\n")
        plain = settings.model_dump(mode="json", include={name})[name]
        text = yaml.safe_dump(plain, default_flow_style=True).removesuffix("...\n").strip()
        lines.append(f"{indent}{name}: {text}\n")
    return "".join(lines)


def path_or_variable(
    path: Path | None, variable: str, what: str, environment: Mapping[str, str] = os.environ
) -> Path:
    """Return the path given, else the one that an SM_* environment variable names.

    Raises:
        SettingsError: neither is given.
    """
    if path is not None:
        return path
    value = environment.get(variable)
    if not value:
        raise SettingsError(f"no path to {what}: give it, or set {variable}")
    return Path(value)
