"""Write the page of all published datasets: `python -m shards.sources docs/corpora.md`."""

import sys
from pathlib import Path

from shards.sources import CARDS
from shards.sources.corpora_page import corpora_page


def main() -> int:
    """Write the page to the file that is named; return 2 where none is."""
    if len(sys.argv) != 2:
        sys.stderr.write("Name the file to write: python -m shards.sources docs/corpora.md\n")
        return 2
    Path(sys.argv[1]).write_text(corpora_page(CARDS.values()), encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
