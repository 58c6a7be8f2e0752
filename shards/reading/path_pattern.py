"""Patterns of paths: globs in which words in braces are captured, so that files can be paired."""

import re
from functools import cached_property

from .raw_files import RawFile, RawTree

_TOKEN = re.compile(r"\{(?P<word>[a-z_]+)\}|(?P<wild>\*\*/|\*\*|\*|\?)|(?P<plain>.)")
_WILD = {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_WORDS = {"name": ".+", "frame": "[0-9]+"}
ANY_EXTENSION = ".*"


class PathPattern:
    """`images/{name}.*`: what fits, and what the words in braces stand for.

    `*` and `?` stay within a folder or file name, `**/` is any number of folders, `.*` at the end
    is any extension (`.nii.gz` is one). `{name}` may go over several folders and takes as much as
    it can, `{frame}` is a number, any other word stays within one name. Case does not matter.
    """

    def __init__(self, text: str, *, option: str) -> None:
        """Take the pattern and the option that it came from, for messages."""
        self.text = text
        self._option = option
        self._takes_any_extension = text.endswith(ANY_EXTENSION)

    def __str__(self) -> str:
        """Return the option as typed."""
        return f"{self._option}={self.text}"

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words in braces, in their order."""
        found = (match["word"] for match in _TOKEN.finditer(self.text))
        return tuple(dict.fromkeys(word for word in found if word is not None))

    def match(self, file: RawFile, *, tree: RawTree) -> dict[str, str] | None:
        """Return what the words stand for in a file's path; None where it does not fit."""
        path = local_path(file, tree=tree)
        if self._takes_any_extension:
            path = path[: len(path) - len(file.suffix)]
        matched = self._expression.fullmatch(path)
        return None if matched is None else matched.groupdict()

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        body = self.text.removeprefix("./")
        if self._takes_any_extension:
            body = body.removesuffix(ANY_EXTENSION)
        seen: set[str] = set()
        parts = [_translate(match, seen=seen) for match in _TOKEN.finditer(body)]
        return re.compile("".join(parts), re.IGNORECASE)


def local_path(file: RawFile, *, tree: RawTree) -> str:
    """Return the path below `root`; below the archive itself where `root` is one."""
    parts = file.path.parts[1:] if tree.is_archive else file.path.parts
    return "/".join(parts)


def _translate(match: re.Match[str], *, seen: set[str]) -> str:
    word = match["word"]
    if word in seen:
        return f"(?P={word})"
    if word is not None:
        seen.add(word)
        return f"(?P<{word}>{_WORDS.get(word, '[^/]+')})"
    return re.escape(match["plain"]) if match["plain"] else _WILD[match["wild"]]
