"""Pascal VOC annotations (one XML file per photo, one object per face) -> manifest rows."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from maskwise.data.manifest import parse_box
from maskwise.errors import ManifestError, listed

if TYPE_CHECKING:
    from maskwise.data.sources import ImportOptions

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(
    folder: Path, options: "ImportOptions", mask_words: Mapping[str, str]
) -> Iterator[dict[str, object]]:
    """Yield a row per face of every XML file in `folder` or `folder/annotations`.

    All faces of one photo are one person to the split. `mask_words` maps object names.

    Raises:
        ManifestError: broken XML, missing photos, unknown names or boxes; all at once.
    """
    annotations = folder / "annotations" if (folder / "annotations").is_dir() else folder
    photos = options.photos or (folder / "images" if (folder / "images").is_dir() else folder)
    problems: list[str] = []
    for path in sorted(annotations.glob("*.xml")):
        if path.name.startswith("."):
            continue
        try:
            yield from _faces(path, photos, options, mask_words)
        except (ElementTree.ParseError, ValueError) as error:
            problems.append(f"{path.name}: {error}")
    if problems:
        raise ManifestError(f"{annotations}: {len(problems)} wrong file(s):\n{listed(problems)}")


def _faces(
    path: Path, photos: Path, options: "ImportOptions", mask_words: Mapping[str, str]
) -> list[dict[str, object]]:
    # expat refuses entity bombs itself, and no external entity is fetched
    root = ElementTree.parse(path).getroot()  # noqa: S314
    photo = photos / (root.findtext("filename") or f"{path.stem}.jpg")
    if not photo.is_file():
        raise ValueError(f"no photo at {photo}")
    return [
        {
            "photo": str(photo.resolve()),
            "person": options.person(photo.stem),
            "mask": _mask(face, mask_words),
            "box": _box(face),
            "source": options.source,
        }
        for face in root.iter("object")
    ]


def _mask(face: ElementTree.Element, mask_words: Mapping[str, str]) -> str | None:
    name = (face.findtext("name") or "").strip().lower()
    if name == "face":
        return None
    if name not in mask_words:
        raise ValueError(f"object {name!r} is none of face, {', '.join(mask_words)}")
    return mask_words[name]


def _box(face: ElementTree.Element) -> str:
    corners = [face.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    text = " ".join(corner.strip() for corner in corners if corner)
    parse_box(text)
    return text
