"""Tiny raw datasets of volumes, videos and arrays, and what should come out of them."""

import zipfile
from pathlib import Path

import numpy as np

from tests.support.source_trees_pictures import (
    SIZE,
    Expected,
    Size,
    block,
    nothing,
    picture,
    stretched,
)


def save_volume(
    path: Path, *, values: np.ndarray, spacing: tuple[float, ...] | None = None
) -> None:
    """Write an array, slowest axis first, as SimpleITK has it."""
    import SimpleITK  # noqa: PLC0415 -- of the extra `formats`

    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(spacing or (1.0,) * values.ndim)
    SimpleITK.WriteImage(image, str(path))


def write_fh_ps_aop(root: Path, first: Size) -> dict[str, Expected]:
    for number in (1, 2):
        mask = block(1, size=first if number == 1 else SIZE)
        labels = (np.roll(mask, 9, axis=0) + 2 * mask) * (number == 1)
        save_volume(root / f"image_mha/{number:05d}.mha", values=np.stack([picture(number)] * 3))
        save_volume(root / f"label_mha/{number:05d}.mha", values=labels.astype(np.uint8))
    both = {"fetal_head": block(1), "pubic_symphysis": np.roll(block(1), 9, axis=0)}
    return {"00001": Expected(both), "00002": Expected({})}


def write_mup(root: Path, first: Size) -> dict[str, Expected]:
    scans = "micro_ultrasound_scans/microUS"
    expected = {}
    for split in ("train", "test"):
        size = first if split == "train" else SIZE
        folder = root / "Micro_Ultrasound_Prostate_Segmentation_Dataset" / split
        image = np.stack([picture(1), picture(2)])
        mask = np.stack([block(1, size=size), nothing(size)]).astype(np.uint8)
        save_volume(folder / f"{scans}_{split}_01.nii.gz", values=image, spacing=(0.5, 0.25, 2.0))
        expert = folder / f"expert_annotations/expert_annotation_{split}_01.nii.gz"
        save_volume(expert, values=mask)
        other = folder / f"non_expert_annotations/nonexpert_annotation_{split}_01.nii.gz"
        save_volume(other, values=np.ones_like(mask))
        subject = f"{split}-01"
        upright = {"prostate": np.flipud(block(1))}
        expected[f"{subject}_0000"] = Expected(upright, subject=subject, split=split)
        expected[f"{subject}_0001"] = Expected({}, subject=subject, split=split)
    return expected


def write_regpro(root: Path, first: Size) -> dict[str, Expected]:
    """Write volumes whose frames lie along x: SIZE is (z, y)."""
    expected = {}
    for split, case in (("train", "case000001"), ("val", "case000070")):
        size = first if split == "train" else SIZE
        channels = np.zeros((2, *size, 2), dtype=np.uint8)
        channels[0, :, :, 1] = block(1, size=size)
        channels[1, :, :, 1] = block(4, size=size)
        image = np.stack([picture(1), picture(2)], axis=-1)
        volume = root / f"{split}/us_images/{case}.nii.gz"
        save_volume(volume, values=image, spacing=(3.0, 0.5, 0.25))
        save_volume(root / f"{split}/us_labels/{case}.nii.gz", values=channels)
        save_volume(root / f"{split}/mr_images/{case}.nii.gz", values=image)
        name = "validation" if split == "val" else split
        turned = {
            "prostate": np.rot90(block(1), k=2),
            "prostate_landmark": np.rot90(block(4), k=2),
        }
        expected[f"{name}/{case}_0000"] = Expected({}, subject=case, split=name)
        expected[f"{name}/{case}_0001"] = Expected(turned, subject=case, split=name)
    return expected


def write_segthy(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "US_volunteer_dataset/ground_truth_data"
    expected = {}
    for name in ("001_P1_1_left", "002_P1_1_right"):
        size = first if name.startswith("001") else SIZE
        labels = np.stack([nothing(size) * 1, block(1, size=size) * 5]).astype(np.uint8)
        labels[1][:2] = 1
        save_volume(folder / f"US/{name}_US.nii", values=np.stack([picture(1), picture(2)]))
        save_volume(folder / f"US_thyroid_label/{name}.nii", values=labels)
        gland = nothing()
        gland[-2:] = True
        vessels = {"jugular_vein": np.rot90(block(1), k=2), "thyroid_gland": gland}
        expected[f"{name}_0000"] = Expected({}, subject=name[:3])
        expected[f"{name}_0001"] = Expected(vessels, subject=name[:3])
    return expected


def write_cine_clips(root: Path, first: Size) -> dict[str, Expected]:
    import h5py  # noqa: PLC0415 -- of the extra `formats`

    root.mkdir(parents=True, exist_ok=True)
    ring = block(1, size=first)
    ring[5, 8] = False  # a hole, to be filled
    with h5py.File(root / "dataset.hdf5", "w") as file:
        file["annot_id"] = np.array([b"12_", b"3_", b"12_"])
        file["frame_num"] = np.array([7, 1, 2])
        file["image"] = np.stack([picture(place) for place in range(3)])
        file["mask"] = np.stack([ring, nothing(first), nothing(first)]).astype(np.uint8)
    return {
        "12_00007": Expected({"thyroid_nodule": block(1)}, subject="12"),
        "3_00001": Expected({}, subject="3"),
        "12_00002": Expected({}, subject="12"),
    }


def save_video(path: Path, *, frames: list[np.ndarray]) -> None:
    """Write grey frames without loss."""
    import av  # noqa: PLC0415 -- of the extra `formats`

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "gray"
        for values in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(values, format="gray")))
        container.mux(stream.encode(None))


def save_sheet(path: Path, *, rows: list[list[str]]) -> None:
    """Write a workbook of one sheet, its texts in the shared table as spreadsheets do it."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    texts = sorted({text for row in rows for text in row if not text.isdigit()})
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = [
            f'<c r="{chr(65 + place)}{number}"><v>{text}</v></c>'
            if text.isdigit()
            else f'<c r="{chr(65 + place)}{number}" t="s"><v>{texts.index(text)}</v></c>'
            for place, text in enumerate(row)
            if text
        ]
        lines.append(f"<row>{''.join(cells)}</row>")
    shared = "".join(f"<si><t>{text}</t></si>" for text in texts)
    sheet = f"<worksheet {main}><sheetData>{''.join(lines)}</sheetData></worksheet>"
    with zipfile.ZipFile(path, "w") as workbook:
        workbook.writestr("xl/sharedStrings.xml", f"<sst {main}>{shared}</sst>")
        workbook.writestr("xl/worksheets/sheet1.xml", sheet)


def write_hmc_qu(root: Path, first: Size) -> dict[str, Expected]:
    from scipy.io import savemat  # noqa: PLC0415 -- heavy

    masks = root / "LV Ground-truth Segmentation Masks"
    masks.mkdir(parents=True)
    rows = [["ECHO", "SEG1", "Reference Frame", "End of Cycle", "LV Wall"]]
    expected = {}
    for name, start in (("ES0001_4CH_1", 2), ("ES0002 4CH_1", 1)):
        size = first if start == 2 else SIZE
        frames = [picture(place) for place in range(4)]
        save_video(root / f"HMC-QU/A4C/{name}.avi", frames=frames)
        walls = np.stack([stretched(block(1), size=size), nothing(size)]).astype(np.uint8)
        savemat(masks / f"Mask_{name}.mat", {"predicted": walls})
        rows.append([name, "", str(start), str(start + 1), "x"])
        subject = name[:6]
        expected[f"{name}_{start - 1:04d}"] = Expected({"myocardium": block(1)}, subject=subject)
        expected[f"{name}_{start:04d}"] = Expected({}, subject=subject)
    save_video(root / "HMC-QU/A2C/ES0001_CH2_1.avi", frames=[picture(9)])
    save_sheet(root / "A4C.xlsx", rows=rows)
    return expected
