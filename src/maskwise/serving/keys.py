"""API keys: made once and shown once; the file holds their hashes."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from maskwise.errors import SettingsError, listed
from maskwise.storage import replacing

_LINE: Final = re.compile(r"([A-Za-z0-9_.-]{1,64}) ([0-9a-f]{64})")


class Keys:
    """The hashes of keys that are let in. Keys are random, so a plain SHA-256 hides them."""

    def __init__(self, digests: Sequence[str]) -> None:
        self._digests = [bytes.fromhex(digest) for digest in digests]

    @classmethod
    def read(cls, path: Path) -> "Keys":
        """Read a file of names and hashes.

        Raises:
            SettingsError: there is none, it holds no key, or lines that are none.
        """
        found = _read(path)
        if not found:
            raise SettingsError(f"{path} holds no key; make one: maskwise key NAME --file {path}")
        return cls(list(found.values()))

    def allow(self, key: str) -> bool:
        """Return whether a key is one of them; all are compared, in constant time."""
        digest = hashlib.sha256(key.encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return any(matches)


def add_key(path: Path, name: str) -> str:
    """Make a key, add its hash to a file, and return the key.

    Raises:
        SettingsError: the name is no word or is there already, or the file holds other lines.
        StorageError: the file cannot be written.
    """
    found = _read(path) if path.exists() else {}
    if name in found:
        raise SettingsError(f"{path} has a key of {name} already; remove its line for a new one")
    key = secrets.token_urlsafe(32)
    line = f"{name} {hashlib.sha256(key.encode()).hexdigest()}"
    if not _LINE.fullmatch(line):
        raise SettingsError(f"{name!r}: name a key by up to 64 letters, digits, and _ . -")
    lines = [*(f"{known} {digest}" for known, digest in found.items()), line]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.chmod(0o600)
    return key


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the keys of {path}: {error}") from error
    found, wrong = {}, []
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line.strip())
        if match:
            found[match[1]] = match[2]
        elif line.strip():
            wrong.append(f"line {number}: expected a name and 64 hexadecimal digits")
    if wrong:
        raise SettingsError(f"{path} is no file of maskwise key:\n{listed(wrong)}")
    return found
