"""YAML of settings files: each key once, and no more than a file of settings can hold."""

from typing import Any, Final

import yaml

MOST_NODES: Final = 100_000
"""Values that a file may stand for, with what its aliases repeat."""
_MERGE: Final = "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        yaml.YAMLError: It is no YAML, a key stands twice in one mapping, or it is nested too deeply
            or repeats aliases too often.
        ValueError: A value cannot be made, such as a date that no calendar has.

    Example:
        >>> parse_yaml("{epochs: 3, size: [128, 96]}")
        {'epochs': 3, 'size': [128, 96]}
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, loader)
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    except (AttributeError, LookupError, TypeError) as error:  # of values that tags are wrong for
        raise yaml.YAMLError(f"a value cannot be read ({error})") from error
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int], loader: yaml.SafeLoader) -> int:
    """Return how many values a node stands for; `counts` are those of nodes seen before.

    Raises:
        yaml.YAMLError: They are too many, or a key stands twice in a mapping.
    """
    known = counts.get(id(node))
    if known == 0:
        raise yaml.YAMLError("an alias stands for what holds it")
    if known is not None:
        return known
    counts[id(node)] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, loader)
        total += sum(
            _count(key, counts, loader) + _count(value, counts, loader) for key, value in node.value
        )
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count(value, counts, loader) for value in node.value)
    if total > MOST_NODES:
        raise yaml.YAMLError(f"it stands for more than {MOST_NODES:,} values; use fewer aliases")
    counts[id(node)] = total
    return total


def _check_keys(node: yaml.MappingNode, loader: yaml.SafeLoader) -> None:
    """Check that no key of a mapping, as it is read, stands in it twice."""
    lines: dict[Any, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        value, line = loader.construct_object(key), key.start_mark.line + 1
        if value in lines:
            raise yaml.YAMLError(
                f"the key {key.value!r} stands in line {lines[value]} and in line {line}; keep one "
                "of them"
            )
        lines[value] = line
