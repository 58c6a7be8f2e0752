"""Tiny raw datasets of pictures, 105US to FASS, and what should come out of them."""

import csv
from pathlib import Path

import numpy as np

from tests.support.source_trees_pictures import (
    SIZE,
    Expected,
    Size,
    as_255,
    block,
    noisy_jpeg,
    nothing,
    picture,
    save,
    stretched,
    write_json,
)


def noisy(mask: np.ndarray) -> np.ndarray:
    """Return a mask of which no pixel is quite 0 or 255."""
    noise = np.random.default_rng(0).integers(1, 40, mask.shape, dtype=np.uint8)
    return np.where(mask, 255 - noise, noise)


def write_us105(root: Path, first: Size) -> dict[str, Expected]:
    for number, name, mask in (("007", "7 G man", block(1, size=first)), ("12", "12", nothing())):
        save(root / f"105 US Images/{number}.png", values=picture(int(number)))
        save(root / f"105 US Masks/{name}.png", values=noisy(mask))
    return {"007": Expected({"liver_lesion": block(1)}), "012": Expected({})}


def coloured(masks: dict[tuple[int, int, int], np.ndarray], *, size: Size) -> np.ndarray:
    """Return a picture of colours, a little off each, as lossy copies have them."""
    pixels = np.full((*size, 3), 10, dtype=np.uint8)
    for colour, mask in masks.items():
        pixels[mask] = np.clip(np.array(colour) + 12, 0, 255)
    return pixels


def write_abdomenus(root: Path, first: Size) -> dict[str, Expected]:
    real, simulated = root / "abdominal_US/RUS", root / "abdominal_US/AUS"
    painted = {(255, 255, 0): block(1, size=first), (0, 0, 255): block(9, size=first)}
    for place, name in enumerate(("a", "b", "without")):
        save(real / f"images/test/{name}.jpg", values=picture(place))
    save(real / "annotations/test/a.png", values=coloured(painted, size=first))
    save(real / "annotations/test/b.png", values=coloured({}, size=SIZE))
    save(simulated / "images/test/a.png", values=picture(5))
    save(simulated / "annotations/test/a.png", values=coloured({}, size=SIZE))
    seen = {"kidney": block(1), "pancreas": block(9)}
    return {"test-a": Expected(seen), "test-b": Expected({})}


def write_breast_lesions_usg(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "BrEaST-Lesions_USG-images_and_masks"
    for place, name in enumerate(("case001", "case022", "case100", "case101")):
        save(folder / f"{name}.png", values=picture(place))
    save(folder / "case001_tumor.png", values=as_255(block(1, size=first)))
    save(folder / "case022_tumor.png", values=block(2).astype(np.uint8) * 40)
    save(folder / "case022_other1.png", values=as_255(block(8)))
    save(folder / "case101_tumor.png", values=as_255(nothing()))
    return {
        "case001": Expected({"breast_nodule": block(1)}, subject="case001"),
        "case022": Expected(
            {"breast_nodule": block(2), "breast_other_finding": block(8)}, subject="case022"
        ),
        "case100": Expected({}, subject="case100"),
        "case101": Expected({}, subject="case101"),
    }


def write_buid(root: Path, first: Size) -> dict[str, Expected]:
    masks = {"1 Benign": block(1, size=first), "1 Malignant": block(2), "2 Benign": nothing()}
    for place, (name, mask) in enumerate(masks.items()):
        folder = root / name[2:]
        save(folder / f"{name} Image.bmp", values=np.stack([picture(place)] * 3, axis=-1))
        save(folder / f"{name} Mask.tif", values=noisy(mask))
        save(folder / f"{name} Lesion.bmp", values=picture(9))
    return {
        "Benign/001": Expected({"breast_nodule_benign": block(1)}),
        "Malignant/001": Expected({"breast_nodule_malignant": block(2)}),
        "Benign/002": Expected({}),
    }


def write_table(path: Path, *, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        csv.writer(stream).writerows(rows)


def write_bus_bra(root: Path, first: Size) -> dict[str, Expected]:
    names = ("0001-l", "0001-r", "0002-l", "0003-l")
    for place, name in enumerate(names):
        mask = block(1, size=first if place == 0 else SIZE) & (place != 3)
        save(root / f"BUSBRA/Images/bus_{name}.png", values=picture(place))
        save(root / f"BUSBRA/Masks/mask_{name}.png", values=as_255(mask))
    rows = [
        ["ID", "Pathology", "kFold"],
        ["bus_0001-l", "benign", "2"],
        ["bus_0001-r", "malignant", "2"],
        ["bus_0002-l", "malignant", "1"],
        ["bus_0003-l", "benign", "5"],
    ]
    write_table(root / "BUSBRA/5-fold-cv.csv", rows=rows)
    malignant = {"breast_nodule_malignant": block(1)}
    return {
        "bus_0001-l": Expected({"breast_nodule_benign": block(1)}, subject="0001", split="train"),
        "bus_0001-r": Expected(malignant, subject="0001", split="train"),
        "bus_0002-l": Expected(malignant, subject="0002", split="test"),
        "bus_0003-l": Expected({}, subject="0003", split="train"),
    }


def write_bus(root: Path, first: Size) -> dict[str, Expected]:
    for place, name in enumerate(("000001", "000002"), start=1):
        mask = block(1, size=first) if place == 1 else nothing()
        save(root / f"BUS/original/{name}.png", values=picture(place))
        save(root / f"BUS/GT/{name}.png", values=noisy(mask))
    return {"000001": Expected({"breast_nodule": block(1)}), "000002": Expected({})}


def write_busi(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "Dataset_BUSI_with_GT"
    for place, word in enumerate(("benign", "malignant", "normal")):
        save(folder / f"{word}/{word} (1).png", values=picture(place))
    save(folder / "benign/benign (1)_mask.png", values=block(1, size=first))
    save(folder / "benign/benign (1)_mask_1.png", values=noisy(block(6, size=first)))
    four_channels = np.stack([as_255(block(2))] * 3 + [as_255(~nothing())], axis=-1)
    save(folder / "malignant/malignant (1)_mask.png", values=four_channels)
    save(folder / "normal/normal (1)_mask.png", values=as_255(nothing()))
    return {
        "benign/benign (1)": Expected({"breast_nodule_benign": block(1) | block(6)}),
        "malignant/malignant (1)": Expected({"breast_nodule_malignant": block(2)}),
        "normal/normal (1)": Expected({}),
    }


def write_bus_uc(root: Path, first: Size) -> dict[str, Expected]:
    masks = {
        "Benign/001": stretched(block(1), size=first),
        "Malignant/001": block(2),
        "Malignant/002": nothing(),
    }
    for place, (name, mask) in enumerate(masks.items()):
        word, _, number = name.partition("/")
        for folder in (word, "All"):
            save(root / f"BUS_UC/{folder}/images/{number}.png", values=picture(place))
            save(root / f"BUS_UC/{folder}/masks/{number}.png", values=as_255(mask))
    return {
        "Benign-001": Expected({"breast_nodule_benign": block(1)}),
        "Malignant-001": Expected({"breast_nodule_malignant": block(2)}),
        "Malignant-002": Expected({}),
    }


def write_bus_uclm(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "BUS-UCLM"
    both = {(0, 255, 0): block(1, size=first), (255, 0, 0): block(9, size=first)}
    for place, (name, painted) in enumerate({"ANFO_005": both, "VITR_001": {}}.items()):
        size = first if painted else SIZE
        for part in (folder, folder / "partitions/train"):
            save(part / f"images/{name}.png", values=picture(place))
            save(part / f"masks/{name}.png", values=coloured(painted, size=size))
    seen = {"breast_nodule_benign": block(1), "breast_nodule_malignant": block(9)}
    return {
        "ANFO_005": Expected(seen, subject="ANFO"),
        "VITR_001": Expected({}, subject="VITR"),
    }


def write_carotid(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "Common Carotid Artery Ultrasound Images"
    expected = {}
    for place, name in enumerate(
        ("20220111VAS_slice_69", "20220111VAS_slice_7", "20220222VAS_slice_1")
    ):
        mask = block(1, size=first if place == 0 else SIZE) if place < 2 else nothing()
        save(folder / f"US images/{name}.png", values=picture(place))
        save(folder / f"Expert mask images/{name}.png", values=as_255(mask))
        expected[name] = Expected({"carotid_artery": block(1)} if place < 2 else {})
    save(folder / "Expert mask images/alone_slice_1.png", values=as_255(nothing()))
    return expected


def write_ddti(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "2_preprocessed_data"
    for place, name in enumerate(("497", "498"), start=1):
        mask = block(1, size=first) if place == 1 else nothing()
        for stage in ("stage1", "stage2"):
            save(folder / f"{stage}/p_image/{name}.PNG", values=picture(place))
            save(folder / f"{stage}/p_mask/{name}.PNG", values=noisy(mask))
    return {"497": Expected({"thyroid_nodule": block(1)}), "498": Expected({})}


def write_fallmud(root: Path, first: Size) -> dict[str, Expected]:
    upright, lying = root / "FALLMUD/NeilCronin", root / "FALLMUD/RyanCunningham"
    save(upright / "images/img_00001.tif", values=np.stack([picture(1)] * 3, axis=-1))
    save(upright / "fascicle_masks/img_00001.tif", values=noisy(block(2, size=first)))
    noisy_jpeg(upright / "aponeurosis_masks/img_00001.jpg", mask=block(6, size=first))
    save(lying / "images/0.jpg", values=picture(2))
    save(lying / "fascicle_masks/0.png", values=as_255(nothing()))
    save(lying / "aponeurosis_masks/0.png", values=as_255(np.rot90(block(3), k=1)))
    both = {"fascicle": block(2), "aponeurosis": block(6)}
    return {
        "NeilCronin-img_00001": Expected(both),
        "RyanCunningham-0": Expected({"aponeurosis": block(3)}),
    }


def corners_of(place: int) -> list[list[int]]:
    """Return the polygon whose inside, border included, is `block(place)`."""
    return [[4 + place, 2 + place], [16, 2 + place], [16, 8 + place], [4 + place, 8 + place]]


def write_aul(root: Path, first: Size) -> dict[str, Expected]:
    del first
    for place, word in enumerate(("Benign", "Malignant", "Normal")):
        folder = root / f"{word}/{word}"
        save(folder / "image/194.jpg", values=picture(place))
        write_json(folder / "segmentation/outline/194.json", content=corners_of(9))
        write_json(folder / "segmentation/liver/194.json", content=corners_of(1))
        if word != "Normal":
            write_json(folder / "segmentation/mass/194.json", content=corners_of(4))
    save(root / "Malignant/Malignant/image/374.jpg", values=picture(7))
    write_json(root / "Malignant/Malignant/segmentation/mass/374.json", content=corners_of(1))
    liver = {"liver": block(1)}
    return {
        "Benign-194": Expected({**liver, "liver_lesion_benign": block(4)}),
        "Malignant-194": Expected({**liver, "liver_lesion_malignant": block(4)}),
        "Normal-194": Expected(liver),
    }


def write_aul_lesions(root: Path, first: Size) -> dict[str, Expected]:
    green, red = {(0, 255, 0): block(1, size=first)}, {(255, 0, 0): block(1)}
    for place, (name, painted) in enumerate({"1": green, "2": red, "3": {}}.items()):
        size = SIZE if place else first
        save(root / f"images/{name}.png", values=np.stack([picture(place)] * 3, axis=-1))
        save(root / f"masks/{name}.png", values=coloured(painted, size=size))
    return {
        "1": Expected({"liver_lesion_benign": block(1)}),
        "2": Expected({"liver_lesion_malignant": block(1)}),
        "3": Expected({}),
    }


def write_fass(root: Path, first: Size) -> dict[str, Expected]:
    structures = {"artery": block(1, size=first), "vein": nothing(first)}
    contents = {"P01_IMG1": structures, "P02_IMG1": {"stomach": block(2), "liver": block(3)}}
    for place, (name, masks) in enumerate(contents.items()):
        save(root / f"IMAGES/{name}.png", values=picture(place))
        path = root / f"ARRAY_FORMAT/{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {key: mask.astype(np.uint8) * 255 for key, mask in masks.items()}
        np.save(path, np.array({"image": picture(place), "structures": arrays}, dtype=object))
    return {
        "P01_IMG1": Expected({"fetal_artery": block(1)}, subject="P01"),
        "P02_IMG1": Expected({"fetal_stomach": block(2), "fetal_liver": block(3)}, subject="P02"),
    }
