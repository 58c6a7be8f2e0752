"""Options of the registry; no torch here, so that `--help` is quick."""

from dataclasses import dataclass
from typing import Literal

from omegaconf import MISSING

from evaluation.deployable.config import DEFAULT_TRACKING_URI


@dataclass(kw_only=True)
class RegisterConfig:
    """Register a deployable, change who is champion, or show who was."""

    name: str = MISSING
    """Name of the registered model."""

    action: Literal["register", "promote", "demote", "rollback", "history"] = "register"
    """register adds `deployable` as a version, and promotes it if it passes the gate; promote puts
    `version` to the gate; demote leaves the model without champion; rollback makes an earlier
    champion champion again; history lists every change."""

    deployable: str | None = None
    """Folder to register."""

    data: str | None = None
    """URL of the held-out corpus of the gate, for register and promote."""

    protocol: str | None = None
    """How the held-out objects are prompted; null takes published_click (automatic for a model
    without prompts) to register, and what the version came with to promote."""

    version: str | None = None
    """Version to promote, or to roll back to; rollback without it takes the champion before."""

    why: str = "no reason given"
    """Reason of a demotion or a rollback, for the history."""

    tracking_uri: str = DEFAULT_TRACKING_URI
    """Where the registry is: sqlite:///FILE or the address of an MLflow server."""

    def __post_init__(self) -> None:
        needed = {"register": ("deployable", "data"), "promote": ("version", "data")}
        missing = [one for one in needed.get(self.action, ()) if getattr(self, one) is None]
        if missing:
            raise ValueError(f"action={self.action} needs {' and '.join(missing)}.")
