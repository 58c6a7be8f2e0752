"""Who is champion of a registered model, who was, and why it changed.

Every change of the alias leaves a tag at the registered model, so that the history outlives the
versions' own tags and the server's log.
"""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from shards import Corpus

from .client import champion_of, open_registry
from .promotion import HeldOutResult, Promotion, decide_promotion
from .rows import rows_of_version

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

Action = Literal["promoted", "rolled back", "demoted"]

CHAMPION = "champion"
"""Alias of the version to use."""

CHALLENGER = "challenger"
"""Alias of the latest version that did not become champion."""

_HISTORY = "champion_history."


@dataclass(frozen=True, kw_only=True)
class StandingChange:
    """One change of the champion."""

    version: str | None
    """The champion from here on; None for none."""

    at: str
    """When, in UTC."""

    why: str
    action: Action = "promoted"


def champions_in_good_standing(changes: Sequence[StandingChange]) -> list[str]:
    """Return the champions that were never withdrawn since they were promoted, the latest last.

    A demotion withdraws the champion, a rollback all that came after the version it goes back to.
    """
    standing: list[str] = []
    for change in changes:
        if change.version is None:
            standing = standing[:-1]
        elif change.action == "rolled back" and change.version in standing:
            standing = standing[: standing.index(change.version) + 1]
        else:
            standing = [*(one for one in standing if one != change.version), change.version]
    return standing


def version_to_beat(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the champion; without one the latest that was never withdrawn; None for neither."""
    champion = champion_of(client, name)
    if champion is not None:
        return champion
    if not client.search_registered_models(f"name = '{name}'"):
        return None
    there = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
    standing = champions_in_good_standing(_history(client, name))
    return next((there[one] for one in reversed(standing) if one in there), None)


def crown(
    client: "MlflowClient", name: str, *, version: str, why: str, action: Action = "promoted"
) -> None:
    """Make a version champion, and write that down."""
    client.set_registered_model_alias(name, CHAMPION, version)
    aliases = client.get_registered_model(name).aliases
    if str(aliases.get(CHALLENGER)) == version:
        client.delete_registered_model_alias(name, CHALLENGER)
    _write_down(client, name, version=version, why=why, action=action)


def champion_history(name: str, *, tracking_uri: str) -> list[StandingChange]:
    """Return every change of the champion, the first first.

    Raises:
        ValueError: There is no such model.
        ConnectionError: The server does not answer.
    """
    with open_registry(tracking_uri) as client:
        return _history(client, name)


def promote_version(
    name: str, *, version: str, corpus: Corpus, protocol: str | None, tracking_uri: str
) -> Promotion:
    """Make a version champion if it passes the gate against the version to beat.

    Args:
        name: The registered model.
        version: Its version.
        corpus: Held-out images; a version that has no rows on them is measured.
        protocol: How they are prompted; None takes the protocol that the version came with.
        tracking_uri: Where the registry is.

    Raises:
        ValueError: There is no such version, or it is champion already.
        ConnectionError: The server does not answer.
    """
    with open_registry(tracking_uri) as client:
        challenger, champion = client.get_model_version(name, version), champion_of(client, name)
        if champion is not None and str(champion.version) == version:
            raise ValueError(f"Version {version} of {name} is champion already.")
        to_beat = version_to_beat(client, name)
        if to_beat is None or str(to_beat.version) == version:
            promotion = Promotion(is_champion=True, reason=f"{name} had no champion")
        else:
            asked = protocol or challenger.tags["protocol"]
            result = HeldOutResult(corpus=corpus, protocol=asked, records=[])
            rows = [
                rows_of_version(client, one, result=result, tracking_uri=tracking_uri)
                for one in (challenger, to_beat)
            ]
            promotion = decide_promotion(rows[0], rows[1], champion=str(to_beat.version))
        client.set_model_version_tag(name, version, "decision", promotion.reason)
        if promotion.is_champion:
            crown(client, name, version=version, why=promotion.reason)
        return promotion


def demote_champion(name: str, *, why: str, tracking_uri: str) -> str:
    """Take the alias from the champion, and return its version; the model then has none.

    Raises:
        ValueError: There is no such model or no champion.
        ConnectionError: The server does not answer.
    """
    with open_registry(tracking_uri) as client:
        champion = champion_of(client, name)
        if champion is None:
            raise ValueError(f"{name} has no champion, so there is nothing to demote.")
        client.delete_registered_model_alias(name, CHAMPION)
        told = f"version {champion.version} demoted: {why}"
        _write_down(client, name, version=None, why=told, action="demoted")
        return str(champion.version)


def roll_back(name: str, *, version: str | None, why: str, tracking_uri: str) -> str:
    """Make a version champion again that was before, without the gate that it passed then.

    Args:
        name: The registered model.
        version: Which one; None takes the last champion before the present one that was not
            withdrawn itself, by a demotion or a rollback.
        why: For the history.
        tracking_uri: Where the registry is.

    Raises:
        ValueError: No such version was ever champion, or none is left that was not withdrawn.
        ConnectionError: The server does not answer.
    """
    with open_registry(tracking_uri) as client:
        champion = champion_of(client, name)
        present = None if champion is None else str(champion.version)
        history = _history(client, name)
        others = {one.version for one in history} - {None, present}
        standing = [one for one in champions_in_good_standing(history) if one != present]
        target = version or next(reversed(standing), None)
        if target is None or target not in others:
            earlier = ", ".join(sorted(one for one in others if one is not None)) or "none"
            raise ValueError(
                f"{name} cannot be rolled back to version {version or 'before'}: champions besides "
                f"the present one ({present}) were {earlier}, of them never withdrawn "
                f"{', '.join(standing) or 'none'}. Promote a version through the gate instead."
            )
        told = f"rolled back from version {present}: {why}"
        crown(client, name, version=target, why=told, action="rolled back")
        return target


def _history(client: "MlflowClient", name: str) -> list[StandingChange]:
    tags = client.get_registered_model(name).tags
    changes = sorted(key for key in tags if key.startswith(_HISTORY))
    return [StandingChange(**json.loads(tags[key])) for key in changes]


def _write_down(
    client: "MlflowClient", name: str, *, version: str | None, why: str, action: Action
) -> None:
    at = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    change = StandingChange(version=version, at=at, why=why, action=action)
    key = f"{_HISTORY}{len(_history(client, name)) + 1:06d}"
    client.set_registered_model_tag(name, key, json.dumps(asdict(change)))
