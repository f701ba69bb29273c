"""YAML of settings files: each key once, and no more than a file of settings can hold."""

from typing import Any, Final

import yaml

MOST_NODES: Final = 100_000
"""Values that a file may stand for, with what its aliases repeat."""


class _Loader(yaml.SafeLoader):
    """Reads plain values; a key that stands twice in one mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                first = seen[key.value].start_mark.line + 1
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands in line {first} and in line "
                    f"{key.start_mark.line + 1}; keep one of them"
                )
            seen[key.value] = key
        return super().construct_mapping(node, deep)


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
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    finally:
        loader.dispose()


def _count(node: yaml.Node, counts: dict[int, int]) -> int:
    """Return how many values a node stands for; `counts` are those of nodes seen before."""
    known = counts.get(id(node))
    if known == 0:
        raise yaml.YAMLError("an alias stands for what holds it")
    if known is not None:
        return known
    counts[id(node)] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        total += sum(_count(key, counts) + _count(value, counts) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count(value, counts) for value in node.value)
    if total > MOST_NODES:
        raise yaml.YAMLError(f"it stands for more than {MOST_NODES:,} values; use fewer aliases")
    counts[id(node)] = total
    return total
