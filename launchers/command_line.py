"""What every launcher shares: options from the command line, logging, and errors in one line."""

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evaluation import OtherRankError
from pipeline.options import describe_options, load_config
from pipeline.refusal import LOST_RANK, LostRankError, is_of_a_collective

Schema = TypeVar("Schema")

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells use it."""

USER_ERROR = 2
"""Exit code of a command that refused its input."""

_logger = logging.getLogger(__name__)


def run_command(
    schema: type[Schema],
    job: Callable[[Schema], int | None],
    *,
    presets: Path | None = None,
    arguments: Sequence[str] | None = None,
) -> int:
    """Run `job` on the options given on the command line, and return the exit code.

    A `ValueError`, `OSError` or `RuntimeError` is the user's to mend: it becomes one line on the
    error stream and exit code 2, or 75 where another process was lost. `--traceback` shows where
    it arose.

    Args:
        schema: Dataclass of the command's options.
        job: Does the work; returns an exit code, or None for 0.
        presets: Folder of preset files, for commands that have them.
        arguments: Words of the command line; None takes them from `sys.argv`.
    """
    # Read when torch loads its thread library, so set before any job imports torch. Its threads
    # spin while they wait; where two shared a core, a step was seen to take five times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in words or "-h" in words:
        sys.stdout.write(help_text(schema, job=job, presets=presets))
        return 0
    show_traceback = "--traceback" in words
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"
    )
    try:
        options = [word for word in words if word != "--traceback"]
        return job(load_config(schema, options, presets=presets)) or 0
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except OtherRankError:
        return USER_ERROR  # that one has said why
    except (ValueError, OSError, RuntimeError) as error:
        if show_traceback:
            _logger.exception("The command failed:")
        return _refuse(error)


def _refuse(error: Exception) -> int:
    """Say what went wrong and return the exit code."""
    from model import is_without_room

    # Where nobody looks after the ranks: before a training has begun, and in an evaluation.
    if is_of_a_collective(error) and not isinstance(error, LostRankError):
        advice = "Its own log says more. Start the same command again."
        error = LostRankError.of(error, advice=advice)
    remedy = ""
    if is_without_room(error):
        remedy = ". There is no room on the disk: make some, and start the same command again."
    sys.stderr.write(f"error: {error}{remedy}\n")
    return LOST_RANK if isinstance(error, LostRankError) else USER_ERROR


def help_text(schema: type[Any], *, job: Callable[..., Any], presets: Path | None = None) -> str:
    """Return the reference of a command's options, wrapped to the terminal."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    summary = (job.__doc__ or schema.__doc__ or "").strip().splitlines()
    script = Path(sys.argv[0]).name
    lines = [*summary[:1], "", f"usage: {script} key=value ...   [--help] [--traceback]", ""]
    if presets is not None:
        names = ", ".join(sorted(path.stem for path in presets.glob("*.yaml")))
        lines.append(_entry("preset (str)", f"Values to start from: {names}; or a file.", width))
    for option in describe_options(schema):
        default = "required" if option.default == "required" else f"default {option.default}"
        lines.append(_entry(f"{option.name} ({option.type}; {default})", option.text, width))
    return "\n".join(lines) + "\n"


def _entry(title: str, text: str, width: int) -> str:
    indent = "      "
    body = textwrap.fill(text, width=width, initial_indent=indent, subsequent_indent=indent)
    return f"  {title}\n{body}" if text else f"  {title}"
