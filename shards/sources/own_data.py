"""What the sources of own data share: options checked, classes mapped, images named."""

import difflib
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.own_data_config import OwnDataConfig
from shards.reading import RawFile, RawTree
from shards.sample import key_word
from shards.vocabulary import VOCABULARY

from .annotated_image import AnnotatedImage
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .source_plan import SourcePlan

MIN_SECRET_CHARACTERS = 16
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes that the options declare."""

    section: str
    declared: tuple[str | int, ...]

    def check(self, word: str, *, where: str) -> str:
        """Return the class as the card has it.

        Raises:
            InputError: Nothing says which category it is.
        """
        name = key_word(word)
        if name in self.declared:
            return name
        close = difflib.get_close_matches(name.replace("-", "_"), VOCABULARY, n=1)
        hint = f" It may be {close[0]}." if close else ""
        raise InputError(
            "class that is not declared",
            f"{where}: shows the class {word!r}; declared are {self}.{hint} Give "
            f"{self.section}.categories.{name}=CATEGORY, with a category of shards/vocabulary.py, "
            f"or with a word of your own and {self.section}.organs.CATEGORY=ORGAN.",
        )

    def __str__(self) -> str:
        """Return the classes for messages."""
        return ", ".join(str(one) for one in self.declared)


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """Options of own data, checked, and what every one of its images is made with."""

    options: OwnDataConfig
    layout: str
    """What `root` has to hold, in words."""

    secret: bytes | None
    usual_subject: str = "none given, each image or sequence stands alone"
    """How subjects are told where the options say nothing."""

    @classmethod
    def from_options(cls, options: OwnDataConfig, **words: str) -> "OwnData":
        """Check the options before a file is touched.

        Raises:
            ValueError: One is missing or wrong; the message names it as typed.
        """
        if not options.name:
            raise ValueError(
                f"source={options.section} needs {options.section}.name=NAME, which begins the key "
                "of every image."
            )
        _check_categories(options)
        for option in ("subject", "split"):
            _compile(options, option=option)
        return cls(options=options, secret=_read_secret(options), **words)

    @cached_property
    def card(self) -> SourceCard:
        """Return the dataset as a source describes it."""
        options = self.options
        rule = self.usual_subject
        if options.subject:
            rule = f"what the expression {options.subject!r} finds in the path"
        return SourceCard(
            name=options.name,
            title=options.name,
            licence=options.licence,
            terms=options.licence,
            citation=options.citation,
            home_page=options.home_page,
            layout=self.layout,
            categories={key_word(one): category for one, category in options.categories.items()},
            organs=options.organs,
            subject_rule=rule,
        )

    @property
    def classes(self) -> "Classes":
        """Return what the masks may show, in a form that can be sent to another process."""
        return Classes(section=self.options.section, declared=tuple(self.card.categories))

    def pseudonym(self, text: str) -> str:
        """Return `text`, or with a secret its hash, from which nobody can tell it."""
        if self.secret is None:
            return text
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()[:16]

    def found(
        self,
        name: str,
        *,
        path: str,
        files: tuple[RawFile, ...],
        read: Callable[[], AnnotatedImage],
        usual_subject: str | None = None,
        sequence: str | None = None,
        frame: int | None = None,
    ) -> FoundImage:
        """Return an image with its subject and split, as the path tells them."""
        spacing = self.options.spacing_millimetres
        if spacing:
            read = partial(_read_with_spacing, read, spacing=(spacing[0], spacing[1]))
        suffix = "" if frame is None else f"_{frame:04d}"
        subject = _first_group(self._subject, path) or usual_subject
        return FoundImage(
            name=f"{self.pseudonym(name)}{suffix}",
            files=files,
            read=read,
            subject=None if subject is None else self.pseudonym(subject),
            sequence=None if sequence is None else self.pseudonym(sequence),
            frame=frame,
            split=self.split_in(path),
        )

    def split_in(self, path: str) -> str | None:
        """Return the split that the path names.

        Raises:
            InputError: The expression finds nothing, or a word that is no split.
        """
        if self._split is None:
            return None
        word = _first_group(self._split, path)
        if word is not None and word.lower() in _SPLITS:
            return _SPLITS[word.lower()]
        raise InputError(
            "split not told by the path",
            f"{path}: {self.options.section}.split={self.options.split} finds {word!r}; expected "
            "train, val or test. Mend the expression, or move the file.",
        )

    @cached_property
    def _subject(self) -> re.Pattern[str] | None:
        return _compile(self.options, option="subject")

    @cached_property
    def _split(self) -> re.Pattern[str] | None:
        return _compile(self.options, option="split")


def plan_own_data(
    data: OwnData,
    *,
    find: Callable[[RawTree, BuildReport], Iterable[FoundImage]],
    config: BuildConfig,
    report: BuildReport,
) -> SourcePlan:
    """Plan own data as a published dataset whose card the options wrote.

    Raises:
        ValueError: No image was found, or the expression for subjects never finds one.
    """
    plan = PublishedSource(card=data.card, find=find)(config, report)
    subject, section = data.options.subject, data.options.section
    if subject and plan.samples and not any(one.subject_is_known for one in plan.samples):
        raise ValueError(
            f"{section}.subject={subject}: finds no subject in any of {len(plan.samples)} paths, "
            f"as {plan.samples[0].where}. Mend the expression."
        )
    return plan


def _check_categories(options: OwnDataConfig) -> None:
    section = options.section
    if not options.categories:
        raise ValueError(
            f"source={section} needs {section}.categories.CLASS=CATEGORY for each class of the "
            "files; launchers/validate_source.py looks at a folder and names them."
        )
    for word, category in options.categories.items():
        in_vocabulary = category in VOCABULARY
        if in_vocabulary and category in options.organs:
            raise ValueError(
                f"{section}.organs.{category}: the vocabulary has it, of the organ "
                f"{VOCABULARY[category].organ}. Take the option out."
            )
        if not in_vocabulary and category not in options.organs:
            close = difflib.get_close_matches(category, VOCABULARY, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(
                f"{section}.categories.{word}={category}: is not in shards/vocabulary.py.{hint} "
                f"Take one that is, or declare yours with {section}.organs.{category}=ORGAN."
            )


def _read_secret(options: OwnDataConfig) -> bytes | None:
    if options.salt_file is None:
        return None
    try:
        secret = Path(options.salt_file).read_bytes().strip()
    except OSError as error:
        raise ValueError(
            f"{options.section}.salt_file={options.salt_file}: cannot be read ({error.strerror}). "
            "Make one: python -c 'import secrets; print(secrets.token_hex(32))' > FILE; keep it, "
            "and keep it secret."
        ) from error
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise ValueError(
            f"{options.section}.salt_file={options.salt_file}: holds {len(secret)} characters, "
            f"which can be guessed; expected {MIN_SECRET_CHARACTERS} or more."
        )
    return secret


def _compile(options: OwnDataConfig, *, option: str) -> re.Pattern[str] | None:
    expression = getattr(options, option)
    if not expression:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        raise ValueError(
            f"{options.section}.{option}={expression}: is no regular expression ({error}). Mend it."
        ) from error


def _first_group(expression: re.Pattern[str] | None, path: str) -> str | None:
    matched = None if expression is None else expression.search(path)
    if matched is None:
        return None
    return next(filter(None, matched.groups()), matched[0])


def _read_with_spacing(
    read: Callable[[], AnnotatedImage], *, spacing: tuple[float, float]
) -> AnnotatedImage:
    annotated = read()
    return replace(annotated, spacing_millimetres=annotated.spacing_millimetres or spacing)
