"""Register a deployable, and say which version of a model is the one to use."""

import sys
from pathlib import Path

from rich.console import Console

from evaluation import RegisterConfig
from launchers.command_line import run_command


def register(config: RegisterConfig) -> None:
    """Register a deployable, promote, demote or roll back a version, or list the champions."""
    lines = _ACTIONS[config.action](config)
    Console().print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _register(config: RegisterConfig) -> list[str]:
    from evaluation import (
        DeployablePredictor,
        HeldOutResult,
        check_registry,
        evaluate_corpus,
        refuse_seen,
        register_deployable,
        trained_corpora,
    )
    from shards import open_corpus

    check_registry(config.tracking_uri)
    folder, corpus = Path(str(config.deployable)), open_corpus(str(config.data))
    predictor = DeployablePredictor(folder)
    refuse_seen(corpus, trained=trained_corpora(folder))
    protocol = config.protocol or ("automatic" if predictor.is_automatic else "published_click")
    records = evaluate_corpus(predictor, corpus, protocol=protocol, model_name=config.name)
    registration = register_deployable(
        folder,
        name=config.name,
        result=HeldOutResult(corpus=corpus, protocol=protocol, records=records),
        tracking_uri=config.tracking_uri,
    )
    standing = "champion" if registration.promotion.is_champion else "challenger"
    return [
        f"{registration.uri} at {config.tracking_uri}",
        f"  {standing}: {registration.promotion.reason}",
    ]


def _promote(config: RegisterConfig) -> list[str]:
    from evaluation import promote_version
    from shards import open_corpus

    promotion = promote_version(
        config.name,
        version=str(config.version),
        corpus=open_corpus(str(config.data)),
        protocol=config.protocol,
        tracking_uri=config.tracking_uri,
    )
    standing = "champion" if promotion.is_champion else "not promoted"
    return [f"{config.name} version {config.version}: {standing}: {promotion.reason}"]


def _demote(config: RegisterConfig) -> list[str]:
    from evaluation import demote_champion

    version = demote_champion(config.name, why=config.why, tracking_uri=config.tracking_uri)
    return [f"{config.name} version {version} is no longer champion; there is none now."]


def _roll_back(config: RegisterConfig) -> list[str]:
    from evaluation import roll_back

    version = roll_back(
        config.name, version=config.version, why=config.why, tracking_uri=config.tracking_uri
    )
    return [f"{config.name} version {version} is champion again."]


def _history(config: RegisterConfig) -> list[str]:
    from evaluation import champion_history

    changes = champion_history(config.name, tracking_uri=config.tracking_uri)
    return [f"{one.at}  version {one.version or 'none'}  {one.why}" for one in changes]


_ACTIONS = {
    "register": _register,
    "promote": _promote,
    "demote": _demote,
    "rollback": _roll_back,
    "history": _history,
}


def main() -> int:
    """Run the command and return its exit code."""
    return run_command(RegisterConfig, register)


if __name__ == "__main__":
    sys.exit(main())
