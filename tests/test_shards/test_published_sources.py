"""Contract of every published source: its documented tree, and what is wrong in it."""

from pathlib import Path

import pytest

from shards.sources import SOURCES, PublishedSource
from tests.support import source_contract as contract
from tests.support import source_trees_first_frames as first_frames
from tests.support import source_trees_first_pictures as first_pictures
from tests.support import source_trees_pictures as pictures
from tests.support import source_trees_volumes as volumes
from tests.support.source_contract import Tree
from tests.support.source_trees_pictures import Writer

LACKS_MASK = "files that lack a mask and were left out"
LACKS_IMAGE = "files that lack an image and were left out"
LACKS_VIDEO = "tracings without a video, left out"


def _tree(name: str, write: Writer, partner: str, **rest) -> Tree:
    source = SOURCES[name]
    assert isinstance(source, PublishedSource)
    return Tree(source=source, write=write, partner=partner, **rest)


PAIRED = [
    _tree("105us", first_pictures.write_us105, "105 US Masks/12.png"),
    _tree(
        "abdomenus",
        first_pictures.write_abdomenus,
        "**/annotations/test/b.png",
        lone_note=LACKS_MASK,
    ),
    _tree("acouslic", first_frames.write_acouslic, "masks/*/bbbb.mha"),
    _tree("asus", first_frames.write_asus, "**/Patient_002_segmentation.npy"),
    _tree("aul", first_pictures.write_aul, "Normal/**/liver/194.json", other_size=None),
    _tree("aul_lesions", first_pictures.write_aul_lesions, "masks/2.png"),
    _tree("brachial_plexus", first_frames.write_brachial_plexus, "**/s005.mp4"),
    _tree("breast_lesions_usg", first_pictures.write_breast_lesions_usg, "**/case001.png"),
    _tree("buid", first_pictures.write_buid, "Malignant/* Mask.tif"),
    _tree("bus", first_pictures.write_bus, "BUS/GT/000002.png"),
    _tree("bus_bra", first_pictures.write_bus_bra, "**/mask_0002-l.png"),
    _tree("bus_uc", first_pictures.write_bus_uc, "**/Malignant/masks/001.png", is_resized=True),
    _tree("bus_uclm", first_pictures.write_bus_uclm, "BUS-UCLM/masks/VITR_001.png"),
    _tree("busi", first_pictures.write_busi, "**/normal (1)_mask.png"),
    _tree("camus", first_frames.write_camus, "**/patient0002_4CH_half_sequence_gt.nii.gz"),
    _tree(
        "cardiacudc", first_frames.write_cardiacudc, "**/Site_G_29/*_label*", lone_note=LACKS_MASK
    ),
    _tree(
        "common_carotid_artery",
        first_pictures.write_carotid,
        "**/US*/2022022*",
        lone_note=LACKS_IMAGE,
    ),
    _tree("ddti", first_pictures.write_ddti, "**/stage1/p_mask/498.PNG"),
    _tree("echocp", first_frames.write_echocp, "**/002_r_label.nii.gz"),
    _tree(
        "echonet_dynamic",
        first_frames.write_echonet_dynamic,
        "**/0X2B.avi",
        lone_note=LACKS_VIDEO,
        other_size=None,
    ),
    _tree(
        "echonet_pediatric",
        first_frames.write_echonet_pediatric,
        "**/PSAX/**/*.avi",
        lone_note=LACKS_VIDEO,
        other_size=None,
    ),
    _tree("fallmud", first_pictures.write_fallmud, "**/NeilCronin/fascicle_masks/*"),
    _tree("fass", first_pictures.write_fass, "ARRAY_FORMAT/P02_IMG1.npy"),
    _tree("fast_u_net", pictures.write_fast_u_net, "**/AC_mask/0039.png"),
    _tree("fh_ps_aop", volumes.write_fh_ps_aop, "**/label_mha/00002.mha"),
    _tree("gist514_db", pictures.write_gist514_db, "**/images/0002.jpg"),
    _tree("hc18", pictures.write_hc18, "**/001_HC_Annotation.png"),
    _tree("kidneyus", pictures.write_kidneyus, "**/reviewed_masks_1/*/7_*.png"),
    _tree("luss_phantom", pictures.write_luss_phantom, "**/images/clip02*"),
    _tree("mmotu_2d", pictures.write_mmotu_2d, "OTU_2d/annotations/2.PNG"),
    _tree("mmotu_3d", pictures.write_mmotu_3d, "**/annotations/2.PNG"),
    _tree("mup", volumes.write_mup, "**/expert_annotation_test_01.nii.gz"),
    _tree("regpro", volumes.write_regpro, "val/us_labels/*"),
    _tree("s1", pictures.write_s1, "**/TestingDataSet/Test-Exp*Images/0.jpg"),
    _tree("segthy", volumes.write_segthy, "**/US_thyroid_label/002*", lone_note=LACKS_MASK),
    _tree("stmus_nda", pictures.write_stmus_nda, "**/TA/Healthy/Masks/*"),
    _tree("stu_hospital", pictures.write_stu_hospital, "**/Test_Image_2.png", is_resized=True),
    _tree("tg3k", pictures.write_tg3k, "**/thyroid-mask/0003.jpg"),
    _tree("tn3k", pictures.write_tn3k, "**/test-mask/0000.jpg"),
    _tree("tnscui", pictures.write_tnscui, "**/SegmentationClass/2.png"),
    _tree("ubpd", pictures.write_ubpd, "**/json_train/3_0001.json"),
    _tree("ultrasound_nerve_segmentation", pictures.write_nerves, "**/12_1_mask.tif"),
    _tree("hmc_qu", volumes.write_hmc_qu, "**/Mask_ES0002*", lone_note=LACKS_MASK, is_resized=True),
    _tree("dl_track", pictures.write_dl_track, "apo_masks/img_00031.tif"),
    _tree("usgra", pictures.write_usgra, "masks/0001.png"),
    _tree("sa_med2d_20m", pictures.write_sa_med2d, "**/*--0000_001.png"),
]
CLIPS = _tree("thyroidultrasoundcineclip", volumes.write_cine_clips, "")
"""Its images and masks are in one file, so that none of them can be alone."""

TREES = [*PAIRED, CLIPS]


def _each(trees: list[Tree]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("tree", trees, ids=lambda tree: tree.source.card.name)


each_tree = _each(TREES)
each_pair = _each(PAIRED)
each_tree_with_sizes = _each([tree for tree in TREES if tree.other_size is not None])


def test_every_published_source_has_a_tree() -> None:
    published = {name for name, one in SOURCES.items() if isinstance(one, PublishedSource)}
    assert {tree.source.card.name for tree in TREES} == published


@each_tree
def test_a_tree_in_the_documented_layout_gives_every_sample(tree: Tree, tmp_path: Path) -> None:
    contract.check_samples(tree, root=tmp_path)


@each_tree
def test_the_order_of_the_files_changes_nothing(tree: Tree, tmp_path: Path) -> None:
    contract.check_order_of_files(tree, root=tmp_path)


@each_tree
def test_an_archive_gives_what_the_folder_gives(tree: Tree, tmp_path: Path) -> None:
    contract.check_archive(tree, root=tmp_path)


@each_pair
def test_a_missing_partner_is_named_or_counted(tree: Tree, tmp_path: Path) -> None:
    contract.check_missing_partner(tree, root=tmp_path)


@each_tree_with_sizes
def test_a_mask_of_another_size_is_refused_or_noted(tree: Tree, tmp_path: Path) -> None:
    contract.check_other_size(tree, root=tmp_path)


@each_tree
def test_a_folder_without_images_is_refused_and_the_layout_told(tree: Tree, tmp_path: Path) -> None:
    contract.check_empty_folder(tree, root=tmp_path)


@each_tree
def test_what_was_found_can_be_sent_to_another_process(tree: Tree, tmp_path: Path) -> None:
    contract.check_pickling(tree, root=tmp_path)
