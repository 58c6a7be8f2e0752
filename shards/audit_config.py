"""Options of the audit of corpora."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(kw_only=True)
class AuditConfig:
    """Look for duplicates, leaks, odd annotations and licence conflicts in corpora."""

    urls: list[str] = field(default_factory=list)
    """Folders or URLs of corpora, or of builds with `corpus.json`; all are compared."""

    output: str = "audit"
    """Folder for `audit.html`, `audit.json` and, with `remove`, `excluded.txt`."""

    remove: Literal["nothing", "training"] = "nothing"
    """`training` lists the images to leave out of training, for `excluded=` of build_shards."""

    near_duplicates: bool = True
    """Whether pictures are also compared by what they show; else by their pixels alone."""

    max_pictures: int = 60
    """Pictures in one section of the report; all findings are counted."""

    num_workers: int = 0
    """Processes that read; 0 reads in the command's own process."""

    def __post_init__(self) -> None:
        if not self.urls:
            raise ValueError("urls is empty: name the corpora to audit, as urls=[/data/shards].")
        for name in ("max_pictures", "num_workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
