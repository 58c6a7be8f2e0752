"""Tiny raw datasets of volumes, arrays and videos, ACOUSLIC to EchoNet, and what they hold."""

from pathlib import Path

import numpy as np

from tests.support.source_trees_first_pictures import corners_of, write_table
from tests.support.source_trees_pictures import (
    SIZE,
    Expected,
    Size,
    block,
    noisy_jpeg,
    nothing,
    picture,
)
from tests.support.source_trees_volumes import save_video, save_volume


def _labels(value: int, *, size: Size, marked: tuple[int, ...], num_frames: int) -> np.ndarray:
    """Return class values (frame row column): `value` in the block of each marked frame."""
    frames = [
        block(1, size=size) * value if frame in marked else nothing(size) * 0
        for frame in range(num_frames)
    ]
    return np.stack(frames).astype(np.uint8)


def _pictures(num_frames: int) -> np.ndarray:
    return np.stack([picture(frame) for frame in range(num_frames)])


def write_acouslic(root: Path, first: Size) -> dict[str, Expected]:
    for value, name in enumerate(("aaaa", "bbbb"), start=1):
        labels = _labels(value, size=first, marked=(1, 3), num_frames=4)
        save_volume(root / f"images/stacked_fetal_ultrasound/{name}.mha", values=_pictures(4))
        save_volume(root / f"masks/stacked_fetal_abdomen/{name}.mha", values=labels)
    rows = [["uuid", "subject_id"], ["aaaa", "17"]]
    write_table(root / "circumferences/fetal_abdominal_circumferences_per_sweep.csv", rows=rows)
    abdomen = {"fetal_abdomen": block(1)}
    return {
        f"{name}_{frame:04d}": Expected(abdomen, subject="17" if name == "aaaa" else None)
        for name in ("aaaa", "bbbb")
        for frame in (1, 3)
    }


def write_asus(root: Path, first: Size) -> dict[str, Expected]:
    folder = root / "DataArrays"
    folder.mkdir(parents=True)
    for name in ("Patient_001", "Patient_002"):
        labels = _labels(1, size=first, marked=(1,), num_frames=2)[..., None] * 0.8
        images = np.stack([_pictures(2) / np.float32(255)] * 3, axis=-1)
        np.save(folder / f"{name}_ultrasound.npy", images)
        np.save(folder / f"{name}_segmentation.npy", labels)
    spine = {"spine": block(1)[::-1, ::-1]}
    return {
        f"{name}_{frame:04d}": Expected(spine if frame else {})
        for name in ("Patient_001", "Patient_002")
        for frame in (0, 1)
    }


def write_camus(root: Path, first: Size) -> dict[str, Expected]:
    expected = {}
    lists = {"patient0001": "training", "patient0002": "testing"}
    for patient, part in lists.items():
        folder = root / "CAMUS_public/database_nifti" / patient
        for view in ("2CH", "4CH"):
            labels = _labels(3, size=first, marked=(0,), num_frames=2)
            stem = folder / f"{patient}_{view}_half_sequence"
            save_volume(Path(f"{stem}.nii.gz"), values=_pictures(2), spacing=(0.5, 0.25, 1.0))
            save_volume(Path(f"{stem}_gt.nii.gz"), values=labels)
            save_volume(folder / f"{patient}_{view}_ED.nii.gz", values=picture(1))
            split = {"training": "train", "testing": "test"}[part]
            for frame, masks in enumerate(({"left_atrium": block(1)}, {})):
                name = f"{patient}_{view}_{frame:04d}"
                expected[name] = Expected(masks, subject=patient, split=split)
        (root / f"subgroup_{part}.txt").write_text(f"{patient}\n")
    return expected


def write_cardiacudc(root: Path, first: Size) -> dict[str, Expected]:
    for site in ("Site_G_20", "Site_G_29"):
        labels = _labels(4, size=first, marked=(1,), num_frames=3)
        labels[2, 5, 5] = 1  # a stray pixel
        image, label = (
            root / f"cardiacUDC_dataset/{site}/patient-1-4_{part}.nii.gz"
            for part in ("image", "label")
        )
        save_volume(image, values=_pictures(3))
        save_volume(label, values=labels)
    alone = root / "cardiacUDC_dataset/Site_R_73/patient-9-2_image.nii.gz"
    save_volume(alone, values=_pictures(1))
    ventricle = {"right_ventricle": block(1)[::-1, ::-1]}
    return {
        f"{site}/patient-1-4_0001": Expected(ventricle, subject=f"{site}/patient-1")
        for site in ("Site_G_20", "Site_G_29")
    }


def write_echocp(root: Path, first: Size) -> dict[str, Expected]:
    for name in ("001_r", "001_v", "002_r"):
        labels = _labels(2, size=first, marked=(0,), num_frames=2)
        labels[0][block(1, size=first) & np.roll(block(1, size=first), 3, axis=1)] = 4
        save_volume(root / f"EchoCP_dataset/{name}_image.nii.gz", values=_pictures(2))
        save_volume(root / f"EchoCP_dataset/{name}_label.nii.gz", values=labels)
    chambers = {"heart_chamber": block(1)[::-1, ::-1]}
    return {
        f"{name}_0000": Expected(chambers, subject=name[:3]) for name in ("001_r", "001_v", "002_r")
    }


def _brightening(num_frames: int, *, video: str) -> list[np.ndarray]:
    """Return frames whose grey value tells their number, 20 for each; a dot tells the video."""
    frames = [np.full(SIZE, 20 * frame, dtype=np.uint8) for frame in range(num_frames)]
    for frame in frames:
        frame[0, ord(video[-1]) % SIZE[1]] = 255
    return frames


def write_brachial_plexus(root: Path, first: Size) -> dict[str, Expected]:
    for machine, video in (("Butterfly", "b240"), ("Sonosite", "s005")):
        folder = root / "data" / machine
        save_video(folder / f"videos/{video}.mp4", frames=_brightening(5, video=video))
        for frame in (0, 3):  # a gap, over which pairing by position would slip
            mask = block(1, size=first) if frame else nothing()
            noisy_jpeg(folder / f"ac_masks/{video}/{video}_{frame:03d}.jpg", mask=mask)
    needle = root / "data/Butterfly/needle_masks/b240/b240_003.jpg"
    noisy_jpeg(needle, mask=block(4, size=first))
    plexus = {"nerve_plexus": block(1)}
    return {
        "Butterfly-b240_0003": Expected({**plexus, "needle": block(4)}),
        "Butterfly-b240_0000": Expected({}),
        "Sonosite-s005_0000": Expected({}),
        "Sonosite-s005_0003": Expected(plexus),
    }


def write_echonet_dynamic(root: Path, first: Size) -> dict[str, Expected]:
    del first
    folder = root / "EchoNet-Dynamic"
    rows = [["FileName", "X1", "Y1", "X2", "Y2", "Frame"]]
    for name in ("0X1A", "0X2B", "0XGONE"):
        if name != "0XGONE":
            save_video(folder / f"Videos/{name}.avi", frames=_brightening(4, video=name))
        for frame in ("2", "3"):
            rows.append([f"{name}.avi", "10", "1", "10", "20", frame])
            rows += [
                [f"{name}.avi", f"{5.2}", f"{row - 0.2}", f"{15.8}", f"{row + 0.3}", frame]
                for row in range(3, 10)
            ]
    write_table(folder / "VolumeTracings.csv", rows=rows)
    splits = [["FileName", "EF", "Split"], ["0X1A", "60", "TRAIN"], ["0X2B", "50", "TEST"]]
    write_table(folder / "FileList.csv", rows=splits)
    ventricle = {"left_ventricle_endocardium": block(1)}
    return {
        f"{name}_{frame:04d}": Expected(ventricle, split=split)
        for name, split in (("0X1A", "train"), ("0X2B", "test"))
        for frame in (2, 3)
    }


def write_echonet_pediatric(root: Path, first: Size) -> dict[str, Expected]:
    del first
    folder = root / "pediatric_echo_avi/pediatric_echo_avi"
    expected = {}
    both = "CR32a7555-CR32a7582-000039"
    for view, names in {"A4C": (both, "CR99b0001-CR99b0002-000001"), "PSAX": (both,)}.items():
        rows = [["FileName", "X", "Y", "Frame"]]
        for name in names:
            frames = _brightening(4, video=view if name == both else name)
            save_video(folder / view / f"Videos/{name}.avi", frames=frames)
            rows += [[f"{name}.avi", str(x), str(y), "3"] for x, y in corners_of(1)]
            rows.append([f"{name}.avi", "1", "1", "No Systolic"])
            ventricle = {"left_ventricle_endocardium": block(1)}
            expected[f"{view}_{name}_0002"] = Expected(ventricle, subject=name[:9])
        write_table(folder / view / "VolumeTracings.csv", rows=rows)
    return expected
