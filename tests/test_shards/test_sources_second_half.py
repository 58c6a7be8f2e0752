"""Contract of the sources from Fast-U-Net on: their documented trees, and what is wrong in them."""

import dataclasses
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from shards.build_report import BuildReport, InputError
from shards.config import BuildConfig
from shards.reading import open_tree
from shards.sample import UltrasoundSample, make_key
from shards.sources.fast_u_net import FAST_U_NET
from shards.sources.fh_ps_aop import FH_PS_AOP
from shards.sources.gist514_db import GIST514_DB
from shards.sources.hc18 import HC18
from shards.sources.hmc_qu import HMC_QU
from shards.sources.kidneyus import KIDNEYUS
from shards.sources.luss_phantom import LUSS_PHANTOM
from shards.sources.mmotu_2d import MMOTU_2D
from shards.sources.mmotu_3d import MMOTU_3D
from shards.sources.mup import MUP
from shards.sources.published_source import PublishedSource
from shards.sources.regpro import REGPRO
from shards.sources.s1 import S1
from shards.sources.sa_med2d_20m import SA_MED2D_20M
from shards.sources.segthy import SEGTHY
from shards.sources.source_plan import SourcePlan
from shards.sources.stmus_nda import STMUS_NDA
from shards.sources.stu_hospital import STU_HOSPITAL
from shards.sources.tg3k import TG3K
from shards.sources.thyroidultrasoundcineclip import THYROIDULTRASOUNDCINECLIP
from shards.sources.tn3k import TN3K
from shards.sources.tnscui import TNSCUI
from shards.sources.ubpd import UBPD
from shards.sources.ultrasound_nerve_segmentation import ULTRASOUND_NERVE_SEGMENTATION
from tests.support import source_trees_pictures as pictures
from tests.support import source_trees_volumes as volumes
from tests.support.source_trees_pictures import SIZE, Expected, Writer


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tree:
    source: PublishedSource
    write: Writer
    partner: str
    """A file without which another one is alone."""

    is_resized: bool = False
    """Masks may be of another size."""

    drops_lone_files: bool = False


TREES = [
    Tree(source=FAST_U_NET, write=pictures.write_fast_u_net, partner="**/AC_mask/0039.png"),
    Tree(source=FH_PS_AOP, write=volumes.write_fh_ps_aop, partner="**/label_mha/00002.mha"),
    Tree(source=GIST514_DB, write=pictures.write_gist514_db, partner="**/images/0002.jpg"),
    Tree(source=HC18, write=pictures.write_hc18, partner="**/001_HC_Annotation.png"),
    Tree(source=KIDNEYUS, write=pictures.write_kidneyus, partner="**/reviewed_masks_1/*/7_*.png"),
    Tree(source=LUSS_PHANTOM, write=pictures.write_luss_phantom, partner="**/images/clip02*"),
    Tree(source=MMOTU_2D, write=pictures.write_mmotu_2d, partner="OTU_2d/annotations/2.PNG"),
    Tree(source=MMOTU_3D, write=pictures.write_mmotu_3d, partner="**/annotations/2.PNG"),
    Tree(source=MUP, write=volumes.write_mup, partner="**/expert_annotation_test_01.nii.gz"),
    Tree(source=REGPRO, write=volumes.write_regpro, partner="val/us_labels/*"),
    Tree(source=S1, write=pictures.write_s1, partner="**/TestingDataSet/Test-Exp*Images/0.jpg"),
    Tree(
        source=SEGTHY,
        write=volumes.write_segthy,
        partner="**/US_thyroid_label/002*",
        drops_lone_files=True,
    ),
    Tree(source=STMUS_NDA, write=pictures.write_stmus_nda, partner="**/TA/Healthy/Masks/*"),
    Tree(
        source=STU_HOSPITAL,
        write=pictures.write_stu_hospital,
        partner="**/Test_Image_2.png",
        is_resized=True,
    ),
    Tree(source=TG3K, write=pictures.write_tg3k, partner="**/thyroid-mask/0003.jpg"),
    Tree(source=TN3K, write=pictures.write_tn3k, partner="**/test-mask/0000.jpg"),
    Tree(source=TNSCUI, write=pictures.write_tnscui, partner="**/SegmentationClass/2.png"),
    Tree(source=UBPD, write=pictures.write_ubpd, partner="**/json_train/3_0001.json"),
    Tree(
        source=ULTRASOUND_NERVE_SEGMENTATION,
        write=pictures.write_nerves,
        partner="**/12_1_mask.tif",
    ),
    Tree(
        source=HMC_QU,
        write=volumes.write_hmc_qu,
        partner="**/Mask_ES0002*",
        drops_lone_files=True,
        is_resized=True,
    ),
    Tree(source=SA_MED2D_20M, write=pictures.write_sa_med2d, partner="**/*--0000_001.png"),
]
"""Every source of this half but the cine clips, whose images and masks are in one file."""

CLIPS = Tree(source=THYROIDULTRASOUNDCINECLIP, write=volumes.write_cine_clips, partner="")
each_source = pytest.mark.parametrize("tree", [*TREES, CLIPS], ids=lambda one: one.source.card.name)
each_pair = pytest.mark.parametrize("tree", TREES, ids=lambda one: one.source.card.name)


def _plan(source: PublishedSource, root: Path) -> tuple[SourcePlan, BuildReport]:
    report = BuildReport()
    return source(BuildConfig(source=source.card.name, root=str(root), output="x"), report), report


def _samples(source: PublishedSource, root: Path) -> dict[str, UltrasoundSample]:
    plan, report = _plan(source, root)
    assert report.num_problems == 0, report.describe_problems()
    return {planned.key: planned.read() for planned in plan.samples}


def _unions(sample: UltrasoundSample) -> dict[str, np.ndarray]:
    unions: dict[str, np.ndarray] = {}
    for thing in sample.objects:
        unions[thing.category] = unions.get(thing.category, False) | thing.mask()
    return unions


def _check(sample: UltrasoundSample, *, expected: Expected) -> None:
    unions = _unions(sample)
    assert unions.keys() == expected.masks.keys()
    for category, mask in expected.masks.items():
        assert np.array_equal(unions[category], mask), category
    assert sample.origin.subject_is_known == (expected.subject is not None)
    assert sample.origin.subject == (expected.subject or sample.key)
    assert sample.origin.official_split == expected.split


@each_source
def test_a_tree_in_the_documented_layout_gives_every_sample(tree: Tree, tmp_path: Path) -> None:
    expected = tree.write(tmp_path, SIZE)
    samples = _samples(tree.source, tmp_path)
    name = tree.source.card.name
    assert samples.keys() == {make_key(name, name=one) for one in expected}
    for one, content in expected.items():
        _check(samples[make_key(name, name=one)], expected=content)


@each_source
def test_the_order_of_the_files_changes_nothing(tree: Tree, tmp_path: Path) -> None:
    tree.write(tmp_path, SIZE)
    files = open_tree(tmp_path, report=BuildReport())
    turned = dataclasses.replace(files, files=files.files[::-1])
    found = [
        {
            one.name: (one.subject, one.split, one.files[0].path, {file.path for file in one.files})
            for one in tree.source.find(some, BuildReport())
        }
        for some in (files, turned)
    ]
    assert found[0] == found[1]


@each_source
def test_an_archive_gives_what_the_folder_gives(tree: Tree, tmp_path: Path) -> None:
    expected = tree.write(tmp_path / "raw", SIZE)
    archive = shutil.make_archive(str(tmp_path / "download"), "zip", tmp_path / "raw")
    samples = _samples(tree.source, Path(archive))
    name = tree.source.card.name
    assert samples.keys() == {make_key(name, name=one) for one in expected}


@each_pair
def test_a_missing_partner_is_named_or_counted(tree: Tree, tmp_path: Path) -> None:
    expected = tree.write(tmp_path, SIZE)
    (partner,) = tmp_path.glob(tree.partner)
    partner.unlink()
    plan, report = _plan(tree.source, tmp_path)
    assert len(plan.samples) < len(expected)
    if tree.drops_lone_files:
        assert report.notes["files that lack a mask and were left out"] >= 1
        assert report.num_problems == 0
    else:
        assert report.problems_by_kind().keys() == {"file missing"}
        problems = report.describe_problems()
        assert any(str(file) in problems for file in tmp_path.rglob("*.*"))


@each_source
def test_a_mask_of_another_size_is_refused_or_noted(tree: Tree, tmp_path: Path) -> None:
    expected = tree.write(tmp_path, (48, 64) if tree.is_resized else (23, 32))
    plan, report = _plan(tree.source, tmp_path)
    first = make_key(tree.source.card.name, name=next(iter(expected)))
    (planned,) = [one for one in plan.samples if one.key == first]
    if tree.is_resized:
        assert planned.read().objects[0].mask().shape == SIZE
        assert report.notes["masks brought to the size of their image"] == 1
    else:
        with pytest.raises(InputError, match=r"(23.*32)|(32.*23)") as caught:
            planned.read()
        assert caught.value.kind == "mask of another size"


@each_source
def test_a_folder_without_images_is_refused_and_the_layout_told(tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(ValueError, match="no image") as caught:
        _plan(tree.source, tmp_path)
    card = tree.source.card
    assert card.layout in str(caught.value)
    assert all(doubt in str(caught.value) for doubt in card.unverified)


@each_source
def test_planned_samples_can_be_sent_to_another_process(tree: Tree, tmp_path: Path) -> None:
    tree.write(tmp_path, SIZE)
    files = open_tree(tmp_path, report=BuildReport())
    found = list(tree.source.find(files, BuildReport()))
    again = pickle.loads(pickle.dumps(found))
    assert [one.name for one in again] == [one.name for one in found]


def test_every_card_has_facts_enough_to_cite_and_to_find_the_data() -> None:
    for tree in [*TREES, CLIPS]:
        card = tree.source.card
        assert card.home_page.startswith("https://")
        assert all((card.title, card.licence, card.terms, card.citation, card.subject_rule))
        assert card.name == card.name.lower()
