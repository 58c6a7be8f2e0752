"""Small builds of many shards, and what can be told of the files of a build."""

from pathlib import Path

from tests.support.corpora import Us30kTree


def heads(root: Path, *, num_images: int = 12) -> Us30kTree:
    """Write heads in the US30K layout: `num_images` for training, one each to validate and test."""
    tree = Us30kTree(root, classes={"FetalHead-HC18": 2})
    names = [f"{number:03d}_HC" for number in range(num_images + 2)]
    for name in names:
        tree.add_image("FetalHead-HC18", name)
    tree.write_list("train", [f"1/FetalHead-HC18/{name}" for name in names[2:]])
    tree.write_list("val", [f"1/FetalHead-HC18/{names[0]}"])
    tree.write_list("test", [f"FetalHead-HC18/{names[1]}"])
    return tree


def image_of(tree: Us30kTree, number: int) -> Path:
    """Return the picture of one head."""
    return tree.root / f"FetalHead-HC18/img/{number:03d}_HC.png"


def files_below(folder: Path | str) -> dict[str, bytes]:
    """Return name -> content of all files."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def stamps_of_shards(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what tells every tar from one that was written anew, even with the same bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in folder.rglob("*.tar")
    }
