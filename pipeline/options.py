"""Options of a command: dataclass defaults, then a preset file, then `key=value` arguments.

The dataclass is the schema. Once `load_config` has returned there are only real dataclasses.
"""

import dataclasses
import difflib
import re
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

import docstring_parser
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

Schema = TypeVar("Schema")

_NO_SUCH_KEY = re.compile("Key '[^']*' not in '[^']*'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Option:
    """One line of the reference: what can be set, to what, and what it means."""

    name: str
    """The dotted path, as typed on the command line."""

    type: str
    default: str
    text: str


def load_config(
    schema: type[Schema], arguments: Sequence[str], *, presets: Path | None = None
) -> Schema:
    """Merge the schema's defaults, a preset and `key=value` arguments, in that order of precedence.

    Args:
        schema: A dataclass; nested dataclasses are sections.
        arguments: `key=value` words; `preset=NAME` names a file of `presets`, or is a path to one.
        presets: Folder of `NAME.yaml` files, or None for a command without presets.

    Raises:
        ValueError: An argument, a key or a value does not fit; the message says which, and why.
    """
    overrides = [_check_argument(argument) for argument in arguments]
    layers: list[Any] = [OmegaConf.structured(schema)]
    names = [value for key, value in overrides if key == "preset"]
    if presets is not None and names:
        layers.append(_read_preset(names[-1], presets))
        overrides = [(key, value) for key, value in overrides if key != "preset"]
    try:
        layers.append(OmegaConf.from_dotlist([f"{key}={value}" for key, value in overrides]))
        merged = OmegaConf.merge(*layers)
        _refuse_missing(OmegaConf.missing_keys(merged))
        return cast(Schema, OmegaConf.to_object(merged))
    except yaml.YAMLError as error:
        raise ValueError(f"An option's value is not valid YAML: {_one_line(error)}") from error
    except OmegaConfBaseException as error:
        raise ValueError(_about_a_section(schema, overrides) or _explain(error)) from error


def describe_options(schema: type[Any], *, prefix: str = "") -> Iterator[Option]:
    """Yield every option of `schema`, sections unfolded, in the order of the source."""
    texts = {
        parameter.arg_name: (parameter.description or "").strip()
        for one in reversed(schema.__mro__)
        if dataclasses.is_dataclass(one)  # its own fields alone stand in its source
        for parameter in docstring_parser.parse_from_object(one).params
    }
    hints = typing.get_type_hints(schema)
    for field in dataclasses.fields(schema):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from describe_options(hint, prefix=f"{name}.")
        else:
            text = " ".join(texts.get(field.name, "").split())
            yield Option(
                name=name, type=_type_words(hint), default=_default_words(field), text=text
            )


def _check_argument(argument: str) -> tuple[str, str]:
    key, separator, value = argument.partition("=")
    if not separator or not key or key.startswith("-"):
        raise ValueError(
            f"Argument {argument!r} is not understood: options are written key=value, "
            "without dashes. --help lists every option."
        )
    return key, value


def _refuse_missing(names: set[str]) -> None:
    if names:
        raise ValueError(
            f"These options have no default and must be given: {', '.join(sorted(names))}. "
            "Write them as key=value; --help lists every option."
        )


def _read_preset(name: str, presets: Path) -> DictConfig:
    known = sorted(path.stem for path in presets.glob("*.yaml"))
    path = presets / f"{name}.yaml" if name in known else Path(name)
    if not path.is_file():
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"preset={name}: there is no such preset or file.{hint} Presets: {', '.join(known)}."
        )
    try:
        loaded = OmegaConf.load(path)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"preset={name}: {path} is not valid YAML: {error}") from error
    if not isinstance(loaded, DictConfig):
        raise ValueError(f"preset={name}: {path} must hold options (key: value), found a list.")
    return loaded


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())


def _about_a_section(schema: type[Any], overrides: list[tuple[str, str]]) -> str:
    """Say which section got a value instead of its options having got theirs; empty for none."""
    for key, value in overrides:
        names = [one.name for one in describe_options(schema) if one.name.startswith(f"{key}.")]
        if names and not value.lstrip().startswith("{"):
            return (
                f"Option {key}: {value!r} is no value for it, because it has options of its own: "
                f"{', '.join(names)}. Write {names[0]}=value; --help lists every option."
            )
    return ""


def _explain(error: OmegaConfBaseException) -> str:
    """Return one line of what OmegaConf said, with the full name of the option."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = getattr(error, "full_key", None) or ""
    context = ("full_key:", "object_type=", "reference_type=")
    said = [line for line in lines if not line.startswith(context)]
    message = _NO_SUCH_KEY.sub("There is no such option", " ".join(said))
    if isinstance(error, ConfigKeyError):
        end = "" if message.endswith("?") else "."
        message = f"{message}{end} --help lists every option."
    return f"Option {name}: {message}" if name else message


def _type_words(hint: Any) -> str:  # noqa: ANN401 -- any annotation can stand in a schema
    origin = get_origin(hint)
    if origin is Literal:
        return " | ".join(str(choice) for choice in get_args(hint))
    if origin is Union or origin is type(int | None):
        return " | ".join(_type_words(part) for part in get_args(hint))
    if origin is not None:
        inner = ", ".join(_type_words(part) for part in get_args(hint))
        return f"{origin.__name__}[{inner}]"
    if hint is type(None):
        return "null"
    return getattr(hint, "__name__", str(hint))


def _default_words(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return "required"
    if value == "???":
        return "required"
    if value is None:
        return "null"
    return str(value)
