"""Recipes: named settings of a run, as YAML files beside this one.

A recipe's first comment line says what it is; further ones say where it differs from its source.
"""

import difflib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from maskwise.errors import SettingsError


@dataclass(frozen=True)
class Recipe:
    """A named file of settings."""

    name: str
    path: Path

    @property
    def header(self) -> list[str]:
        """The lines of the comment that the file begins with."""
        lines = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("# ").rstrip())
        return lines

    @property
    def about(self) -> str:
        """What it is, in a line."""
        return self.header[0] if self.header else ""


def all_recipes() -> list[Recipe]:
    """Return the recipes of the package, by name."""
    folder = Path(str(files("maskwise.recipes")))
    return [Recipe(path.stem, path) for path in sorted(folder.glob("*.yaml"))]


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name, or that of a YAML file.

    Raises:
        SettingsError: there is neither.
    """
    known = {recipe.name: recipe for recipe in all_recipes()}
    if name in known:
        return known[name]
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return Recipe(path.stem, path)
        raise SettingsError(f"there is no file {path}")
    close = difflib.get_close_matches(name, known, n=2)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    raise SettingsError(f"no recipe {name!r}; {hint}there are: {', '.join(known)}; or name a .yaml")
