"""Pascal VOC annotations (one XML file per photo, one object per face) -> manifest rows."""

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from maskwise.data.boxes import parse_box
from maskwise.data.options import MASK_WORDS_SAID, ImportOptions, Row, mask_word
from maskwise.data.photo_files import photo_at
from maskwise.storage import is_file

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def is_voc(folder: Path) -> bool:
    """Return whether a folder holds annotations."""
    return any(_first_folder(folder, "annotations", "Annotations").glob("*.xml"))


def read_voc(folder: Path, options: ImportOptions) -> Iterator[Row]:
    """Yield a row per face of every XML file in `folder`, or in its `annotations`.

    All faces of one photo are one person to the split.

    Raises:
        ManifestError: broken XML, missing photos, unknown names or boxes; all at once.
    """
    annotations = _first_folder(folder, "annotations", "Annotations")
    photos = options.photos or _first_folder(folder, "images", "JPEGImages")
    problems: list[str] = []
    for path in sorted(annotations.glob("*.xml")):
        if path.name.startswith("."):
            continue
        try:
            yield from _faces(path, photos, options)
        except (ElementTree.ParseError, LookupError, OSError, ValueError) as error:
            problems.append(f"{path.name}: {error}")
    options.refuse(annotations, problems)


def _first_folder(folder: Path, *names: str) -> Path:
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def _faces(path: Path, photos: Path, options: ImportOptions) -> list[Row]:
    # expat refuses entity bombs itself, and no external entity is fetched
    root = ElementTree.parse(path).getroot()  # noqa: S314
    name = (root.findtext("filename") or "").strip() or f"{path.stem}.jpg"
    photo = photo_at(photos, name)
    if not is_file(photo):
        raise ValueError(f"no photo at {photo}")
    return [
        {
            "photo": str(photo.resolve()),
            "person": options.person_of_name(name),
            **_mask(face),
            "box": _box(face),
            "source": options.source,
        }
        for face in root.iter("object")
    ]


def _mask(face: ElementTree.Element) -> Row:
    name = (face.findtext("name") or "").strip()
    if name.lower() == "face":
        return {}
    word = mask_word(name)
    if word is None:
        raise ValueError(f"object {name!r}; expected face, {MASK_WORDS_SAID}")
    return {"mask": word}


def _box(face: ElementTree.Element) -> str:
    corners = [face.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    text = " ".join(corner.strip() for corner in corners if corner)
    parse_box(text)
    return text
