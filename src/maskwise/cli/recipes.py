"""`maskwise recipes` and `compare`."""

from maskwise.cli.output import AsJson, print_json, print_table


def recipes(as_json: AsJson = False) -> None:
    """List the recipes; `maskwise settings --recipe NAME` shows one."""
    from maskwise.recipes import all_recipes

    found = [{"name": recipe.name, "about": recipe.about} for recipe in all_recipes()]
    if as_json:
        print_json(found)
    else:
        print_table("recipes", ["name", "about"], [list(recipe.values()) for recipe in found])
