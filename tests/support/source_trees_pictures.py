"""Tiny raw datasets of pictures in their documented layouts, and what should come out of them."""

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SIZE = (24, 32)
"""Rows and columns; unequal, so that a swap shows."""

Size = tuple[int, int]


class Expected(NamedTuple):
    """What a sample should be."""

    masks: dict[str, np.ndarray]
    """Category -> union of its objects."""

    subject: str | None = None
    split: str | None = None


Writer = Callable[[Path, Size], dict[str, Expected]]
"""Writes a tree, the first sample's mask on the size given, and returns name -> sample."""


def picture(place: int, *, size: Size = SIZE) -> np.ndarray:
    """Return a grey image that no other place has."""
    generator = np.random.default_rng(place)
    return generator.integers(20, 235, size=size, dtype=np.uint8)


def block(place: int, *, size: Size = SIZE) -> np.ndarray:
    """Return a mask that is neither symmetric nor where another place has it."""
    mask = np.zeros(size, dtype=bool)
    mask[2 + place : 9 + place, 4 + place : 17] = True
    return mask


def save(path: Path, *, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".jpg":
        Image.fromarray(values).save(path, quality=95)
    else:
        Image.fromarray(values).save(path)


def as_255(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * 255


def write_json(path: Path, *, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def stretched(mask: np.ndarray, *, size: Size) -> np.ndarray:
    """Return a mask on a grid of whole multiples of its rows and columns."""
    rows, columns = size[0] // mask.shape[0], size[1] // mask.shape[1]
    return mask.repeat(rows, axis=0).repeat(columns, axis=1)


def nothing(size: Size = SIZE) -> np.ndarray:
    return np.zeros(size, dtype=bool)


def write_fast_u_net(root: Path, first: Size) -> dict[str, Expected]:
    save(root / "Dataset/AC/AC_image1/0039.png", values=picture(1))
    save(root / "Dataset/AC/AC_mask/0039.png", values=as_255(block(1, size=first)))
    for name in ("514_HC", "514_2HC"):
        save(root / f"Dataset/HC/HC_image1/{name}.png", values=picture(2))
        save(root / f"Dataset/HC/HC_mask/{name}_Annotation.png", values=as_255(block(2)))
    save(root / "Dataset/HC/HC_image1/7_HC.png", values=picture(3))
    save(root / "Dataset/HC/HC_mask/7_HC_Annotation.png", values=as_255(nothing()))
    head = Expected({"fetal_head": block(2)}, subject="hc-514")
    return {
        "AC/0039": Expected({"fetal_abdomen": block(1)}),
        "HC/514_HC": head,
        "HC/514_2HC": head,
        "HC/7_HC": Expected({}, subject="hc-7"),
    }


def write_gist514_db(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "usd514_jpeg_roi"
    corners = [5.0, 3.0, 17.0, 3.0, 17.0, 10.0, 5.0, 10.0]
    flat = block(1).T.reshape(-1).tolist()
    counts = [len(list(run)) for _, run in itertools.groupby(flat)]
    annotations = {
        "train": [
            {"image_id": 7, "category_id": 4, "segmentation": [corners]},
            {"image_id": 7, "category_id": 3, "segmentation": {"size": SIZE, "counts": counts}},
        ],
        "val": [],
    }
    for number, (part, name) in enumerate([("train", "0001"), ("val", "0002")], start=7):
        save(folder / f"images/{name}.jpg", values=picture(number))
        rows, columns = first if part == "train" else SIZE
        content = {
            "images": [
                {"id": number, "file_name": f"{name}.jpg", "height": rows, "width": columns}
            ],
            "annotations": annotations[part],
            "categories": [{"id": 3, "name": "GIST"}, {"id": 4, "name": "lmym"}],
        }
        write_json(folder / f"annotations/{part}_anno_crop_split_0.json", content=content)
    both = {"gastric_leiomyoma": block(1), "gastric_stromal_tumour": block(1)}
    return {"0001": Expected(both, split="train"), "0002": Expected({}, split="test")}


def _outline(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn ellipse and the filled one."""
    rows, columns = size
    box = (6, 4, columns - 8, rows - 5)
    line, filled = Image.new("L", (columns, rows)), Image.new("L", (columns, rows))
    ImageDraw.Draw(line).ellipse(box, outline=255)
    ImageDraw.Draw(filled).ellipse(box, outline=255, fill=255)
    return np.asarray(line), np.asarray(filled) > 0


def write_hc18(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "training_set"
    for place, name in enumerate(("000_HC", "000_2HC", "001_HC")):
        size = first if not place else SIZE
        save(folder / f"{name}.png", values=picture(place))
        line = _outline(size)[0] if name != "001_HC" else as_255(nothing())
        save(folder / f"{name}_Annotation.png", values=line)
    with (root / "training_set_pixel_size_and_HC.csv").open("w", newline="") as stream:
        rows = [("filename", "pixel size(mm)", "head circumference (mm)"), ("000_HC.png", 0.5, 44)]
        csv.writer(stream).writerows(rows)
    head = Expected({"fetal_head": _outline(SIZE)[1]}, subject="000")
    return {"000_HC": head, "000_2HC": head, "001_HC": Expected({}, subject="001")}


def write_kidneyus(root: Path, first: Size) -> dict[str, Expected]:
    images = root / "kidneyUS_images_14_june_2022/kidneyUS_images_14_june_2022"
    labels = root / "kidneyUS-main/labels/reviewed_masks_1"
    names = ("100_IM-0246-0030_anon", "100_IM-0247-0001_anon", "7_IM-0001-0001_anon")
    for place, name in enumerate(names):
        size = SIZE if place else first
        mask = block(1, size=size) if place < 2 else nothing(size)
        save(images / f"{name}.png", values=picture(place))
        save(labels / f"capsule/{name}.png", values=mask.astype(np.uint8))
        second = root / f"kidneyUS-main/labels/reviewed_masks_2/capsule/{name}.png"
        save(second, values=np.ones(SIZE, dtype=np.uint8))
    save(labels / f"regions/{names[1]}.png", values=np.where(block(3), 3, 0).astype(np.uint8))
    return {
        names[0]: Expected({"kidney": block(1)}, subject="100"),
        names[1]: Expected({"kidney": block(1), "kidney_cortex": block(3)}, subject="100"),
        names[2]: Expected({}, subject="7"),
    }


def write_luss_phantom(root: Path, first: Size) -> dict[str, Expected]:
    samples = {"train/clip01-F12": 1, "train/clip01-F13": 5, "test/clip02-F12": 0}
    for place, (name, value) in enumerate(samples.items()):
        split, _, stem = name.partition("/")
        mask = block(1, size=SIZE if place else first)
        save(root / f"data-3/{split}/images/{stem}.png", values=picture(place))
        values = (mask * value).astype(np.uint8)
        save(root / f"data-3/{split}/masks/{stem}.png", values=values)
    return {
        "train/clip01-F12": Expected({"rib": block(1)}, subject="clip01", split="train"),
        "train/clip01-F13": Expected({"b_line_confluence": block(1)}, "clip01", "train"),
        "test/clip02-F12": Expected({}, subject="clip02", split="test"),
    }


def _write_ovaries(folder: Path, *, first: Size, names: tuple[str, ...]) -> None:
    for place, name in enumerate(names):
        mask = block(1, size=first if not place else SIZE) & (place != 2)
        colours = np.where(mask[..., None], (0, 0, 128), 0).astype(np.uint8)
        save(folder / f"images/{name}.JPG", values=picture(place))
        save(folder / f"annotations/{name}.PNG", values=colours)
        save(folder / f"annotations/{name}_binary.PNG", values=as_255(block(3)))


def write_mmotu_2d(root: Path, first: Size) -> dict[str, Expected]:
    _write_ovaries(root / "OTU_2d", first=first, names=("1", "2", "3"))
    _write_ovaries(root / "OTU_3d", first=SIZE, names=("1",))
    (root / "OTU_2d/train_cls.txt").write_text("1.JPG 2\n3.JPG 0\n")
    (root / "OTU_2d/val_cls.txt").write_text("2.JPG 7\n")
    late = "ovarian_high_grade_serous_cystadenocarcinoma"
    return {
        "1": Expected({"ovarian_teratoma": block(1)}, split="train"),
        "2": Expected({late: block(1)}, split="test"),
        "3": Expected({}, split="train"),
    }


def write_mmotu_3d(root: Path, first: Size) -> dict[str, Expected]:
    _write_ovaries(root / "OTU_3d", first=first, names=("1", "2", "3"))
    lesion = Expected({"ovarian_lesion": block(1)})
    return {"1": lesion, "2": lesion, "3": Expected({})}


def write_s1(root: Path, first: Size) -> dict[str, Expected]:
    parts = {
        "train": (
            "TrainingDataSet/BreastTumourImages",
            "TrainingDataSet/Expanded-3-channel-Labels",
        ),
        "test": (
            "TestingDataSet/Test-Expanded-BreastTumourImages",
            "TestingDataSet/Test-Expanded-3-channel-Labels",
        ),
    }
    for split, (images, labels) in parts.items():
        for name, level in (("0", 127 if split == "train" else 255), ("1", 0)):
            is_first = split == "train" and name == "0"
            grey = (block(1, size=first if is_first else SIZE) * level).astype(np.uint8)
            save(root / f"Data/{images}/{name}.jpg", values=picture(int(name)))
            save(root / f"Data/{labels}/{name}.png", values=np.stack([grey] * 3, axis=-1))
        general = f"Data/{labels.replace('Expanded-3', 'General-1')}/0.png"
        save(root / general, values=as_255(block(3)))
    return {
        "train/0": Expected({"breast_nodule_benign": block(1)}, split="train"),
        "train/1": Expected({}, split="train"),
        "test/0": Expected({"breast_nodule_malignant": block(1)}, split="test"),
        "test/1": Expected({}, split="test"),
    }


def write_stmus_nda(root: Path, first: Size) -> dict[str, Expected]:
    top = root / "Polito-Radboud-DeepLearningUS"
    names = ("BB/Healthy", "BB/Pathological", "TA/Healthy")
    for place, name in enumerate(names):
        mask = block(1, size=SIZE if place else first) & (place != 2)
        save(top / f"{name}/Images/0001.png", values=picture(place))
        save(top / f"{name}/Masks/0001.png", values=as_255(mask))
    save(top / "Segmentation_models/data/MuscleCNN/train/0001.png", values=picture(0))
    muscle = Expected({"muscle": block(1)})
    return {
        "BB/Healthy/0001": muscle,
        "BB/Pathological/0001": muscle,
        "TA/Healthy/0001": Expected({}),
    }


def write_stu_hospital(root: Path, first: Size) -> dict[str, Expected]:
    for number in (1, 2):
        mask = stretched(block(1), size=first if number == 1 else SIZE) & (number == 1)
        soft = np.where(mask, 200, np.where(np.roll(mask, 1, axis=0), 90, 0)).astype(np.uint8)
        save(root / f"Hospital/Test_Image_{number}.png", values=picture(number))
        save(root / f"Hospital/mask_{number}.png", values=soft)
    return {"1": Expected({"breast_nodule": block(1)}), "2": Expected({})}


def noisy_jpeg(path: Path, *, mask: np.ndarray) -> None:
    """Save a mask as JPEG, whose edges ring."""
    save(path.with_suffix(".jpg"), values=as_255(mask))
    values = np.asarray(Image.open(path.with_suffix(".jpg")))
    assert not np.isin(values, (0, 255)).all() or not mask.any()


def write_tg3k(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "Thyroid Dataset/tg3k"
    wide = (24, 40)
    expected = {}
    for number, (size, video) in enumerate([(SIZE, 1), (SIZE, 1), (wide, 2), (SIZE, 3)]):
        mask = block(1, size=size) & (number != 1)
        save(folder / f"thyroid-image/{number:04d}.jpg", values=picture(number, size=size))
        drawn = block(1, size=first) if number == 0 else mask
        noisy_jpeg(folder / f"thyroid-mask/{number:04d}", mask=drawn)
        masks = {"thyroid_gland": mask} if mask.any() else {}
        expected[f"{number:04d}"] = Expected(masks, subject=f"video-{video:02d}")
    return expected


def write_tn3k(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "Thyroid Dataset/tn3k"
    samples = {
        "trainval/0000": "validation",
        "trainval/0002": "train",
        "trainval/0010": "train",
        "test/0000": "test",
    }
    for place, name in enumerate(samples):
        part, _, stem = name.partition("/")
        mask = block(1, size=SIZE if place else first) & (place != 2)
        save(folder / f"{part}-image/{stem}.jpg", values=picture(place))
        noisy_jpeg(folder / f"{part}-mask/{stem}", mask=mask)
    write_json(folder / "tn3k-trainval-fold0.json", content={"train": [1, 2], "val": [0]})
    nodule = {"thyroid_nodule": block(1)}
    return {
        name: Expected({} if name == "trainval/0010" else nodule, split=split)
        for name, split in samples.items()
    }


def write_tnscui(root: Path, first: Size) -> dict[str, Expected]:
    for name, value in (("1", 1), ("2", 255), ("3", 0)):
        mask = block(1, size=first if name == "1" else SIZE)
        save(root / f"tnscui/JPEGImages/{name}.jpg", values=picture(int(name)))
        values = (mask * value).astype(np.uint8)
        save(root / f"tnscui/SegmentationClass/{name}.png", values=values)
    nodule = Expected({"thyroid_nodule": block(1)})
    return {"1": nodule, "2": nodule, "3": Expected({})}


def write_ubpd(root: Path, first: Size) -> dict[str, Expected]:
    corners = [[5.2, 2.9], [16.0, 3.1], [15.8, 9.0], [5.0, 9.2]]
    shapes = {
        "12_0034": [
            {"label": "shenjing", "points": corners},
            {"label": "dongmai", "points": [[2, 2], [8, 2], [8, 6], [2, 6]]},
        ],
        "12_0035": [{"label": "shenjing", "points": corners}],
        "3_0001": [],
    }
    for place, (name, some) in enumerate(shapes.items()):
        rows, columns = SIZE if place else first
        save(root / f"JPEGImages/{name}.jpg", values=picture(place))
        content = {"shapes": some, "imageHeight": rows, "imageWidth": columns}
        write_json(root / f"json_train/{name}.json", content=content)
    artery = nothing()
    artery[2:7, 2:9] = True
    return {
        "12_0034": Expected({"nerve": block(1), "artery": artery}, subject="12"),
        "12_0035": Expected({"nerve": block(1)}, subject="12"),
        "3_0001": Expected({}, subject="3"),
    }


def write_nerves(root: Path, first: Size) -> dict[str, Expected]:
    for place, name in enumerate(("1_1", "1_2", "12_1")):
        mask = block(1, size=SIZE if place else first) & (place != 1)
        save(root / f"train/{name}.tif", values=picture(place))
        save(root / f"train/{name}_mask.tif", values=as_255(mask))
    save(root / "test/1.tif", values=picture(5))
    nerve = {"nerve_plexus": block(1)}
    return {
        "1_1": Expected(nerve, subject="1"),
        "1_2": Expected({}, subject="1"),
        "12_1": Expected(nerve, subject="12"),
    }


def write_usgra(root: Path, first: Size) -> dict[str, Expected]:
    for name, value in (("0000", 1), ("0001", 2), ("0002", 0)):
        mask = block(1, size=first if value == 1 else SIZE) * value
        save(root / f"images/{name}.png", values=picture(value))
        indexed = Image.fromarray(mask.astype(np.uint8), mode="P")
        indexed.putpalette([0, 0, 0, 255, 255, 0, 0, 0, 255])
        (root / "masks").mkdir(exist_ok=True)
        indexed.save(root / f"masks/{name}.png")
    return {
        "0000": Expected({"nerve": block(1)}),
        "0001": Expected({"vessel": block(1)}),
        "0002": Expected({}),
    }


def write_dl_track(root: Path, first: Size) -> dict[str, Expected]:
    for place, name in enumerate(("img_00001", "img_00031", "img_00101")):
        mask = block(1, size=SIZE if place else first) & (place != 2)
        save(root / f"apo_images/{name}.tif", values=np.stack([picture(place)] * 3, axis=-1))
        save(root / f"apo_masks/{name}.tif", values=as_255(mask))
    aponeurosis = Expected({"aponeurosis": block(1)})
    return {"img_00001": aponeurosis, "img_00031": aponeurosis, "img_00101": Expected({})}


def write_sa_med2d(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "SAMed2Dv1"
    nerve, breast = "ultrasound_nerve_segmentation", "breast_ultrasound_images_dataset"
    masks = {
        f"{nerve}--1_1--x_0000": ["0000_000"],
        f"{breast}--benign (1)--x_0000": ["0000_000", "0000_001", "0001_000"],
        f"{breast}--benign (2)--x_0000": [],
    }
    listing = {"images/ct_00--AbdomenCT1K--Case_1--x_0040.png": ["masks/gone.png"]}
    for place, (name, instances) in enumerate(masks.items()):
        stem = f"ultrasound_00--{name}"
        save(folder / f"images/{stem}.png", values=picture(place))
        for instance, word in enumerate(instances):
            mask = block(1 + 4 * instance, size=SIZE if place else first)
            save(folder / f"masks/{stem}--{word}.png", values=mask.astype(np.uint8))
        listing[f"images/{stem}.png"] = [f"masks/{stem}--{word}.png" for word in instances]
    write_json(folder / "SAMed2D_v1.json", content=listing)
    classes = {breast: {"tumor": 0, "union_all": 1}, nerve: {"nerve": 0}}
    write_json(folder / "SAMed2D_v1_class_mapping_id.json", content=classes)
    return {
        f"{nerve}/1_1--x_0000": Expected({"nerve_plexus": block(1)}, subject=f"{nerve}/1_1"),
        f"{breast}/benign (1)--x_0000": Expected(
            {"breast_nodule": block(1) | block(5)}, subject=f"{breast}/benign (1)"
        ),
        f"{breast}/benign (2)--x_0000": Expected({}, subject=f"{breast}/benign (2)"),
    }
