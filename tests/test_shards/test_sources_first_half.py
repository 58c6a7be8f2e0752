"""Contract of the sources from 105US to FASS: their documented trees, and what is wrong in them."""

from pathlib import Path

import pytest

from shards.sources import SOURCES, PublishedSource
from tests.support import source_contract as contract
from tests.support import source_trees_first_frames as frames
from tests.support import source_trees_first_pictures as pictures
from tests.support.source_contract import Tree
from tests.support.source_trees_pictures import Writer

LACKS_MASK = "files that lack a mask and were left out"
LACKS_IMAGE = "files that lack an image and were left out"
LACKS_VIDEO = "tracings without a video, left out"


def _tree(name: str, write: Writer, partner: str, **rest) -> Tree:
    source = SOURCES[name]
    assert isinstance(source, PublishedSource)
    return Tree(source=source, write=write, partner=partner, **rest)


TREES = [
    _tree("105us", pictures.write_us105, "105 US Masks/12.png"),
    _tree("abdomenus", pictures.write_abdomenus, "**/annotations/test/b.png", lone_note=LACKS_MASK),
    _tree("acouslic", frames.write_acouslic, "masks/*/bbbb.mha"),
    _tree("asus", frames.write_asus, "**/Patient_002_segmentation.npy"),
    _tree("aul", pictures.write_aul, "Normal/**/liver/194.json", other_size=None),
    _tree("aul_lesions", pictures.write_aul_lesions, "masks/2.png"),
    _tree("brachial_plexus", frames.write_brachial_plexus, "**/s005.mp4"),
    _tree("breast_lesions_usg", pictures.write_breast_lesions_usg, "**/case001.png"),
    _tree("buid", pictures.write_buid, "Malignant/* Mask.tif"),
    _tree("bus", pictures.write_bus, "BUS/GT/000002.png"),
    _tree("bus_bra", pictures.write_bus_bra, "**/mask_0002-l.png"),
    _tree("bus_uc", pictures.write_bus_uc, "**/Malignant/masks/001.png", is_resized=True),
    _tree("bus_uclm", pictures.write_bus_uclm, "BUS-UCLM/masks/VITR_001.png"),
    _tree("busi", pictures.write_busi, "**/normal (1)_mask.png"),
    _tree("camus", frames.write_camus, "**/patient0002_4CH_half_sequence_gt.nii.gz"),
    _tree("cardiacudc", frames.write_cardiacudc, "**/Site_G_29/*_label*", lone_note=LACKS_MASK),
    _tree(
        "common_carotid_artery", pictures.write_carotid, "**/US*/2022022*", lone_note=LACKS_IMAGE
    ),
    _tree("ddti", pictures.write_ddti, "**/stage1/p_mask/498.PNG"),
    _tree("echocp", frames.write_echocp, "**/002_r_label.nii.gz"),
    _tree(
        "echonet_dynamic",
        frames.write_echonet_dynamic,
        "**/0X2B.avi",
        lone_note=LACKS_VIDEO,
        other_size=None,
    ),
    _tree(
        "echonet_pediatric",
        frames.write_echonet_pediatric,
        "**/PSAX/**/*.avi",
        lone_note=LACKS_VIDEO,
        other_size=None,
    ),
    _tree("fallmud", pictures.write_fallmud, "**/NeilCronin/fascicle_masks/*"),
    _tree("fass", pictures.write_fass, "ARRAY_FORMAT/P02_IMG1.npy"),
]

each_tree = pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.source.card.name)
each_tree_with_sizes = pytest.mark.parametrize(
    "tree",
    [tree for tree in TREES if tree.other_size is not None],
    ids=lambda tree: tree.source.card.name,
)


@each_tree
def test_a_tree_in_the_documented_layout_gives_every_sample(tree: Tree, tmp_path: Path) -> None:
    contract.check_samples(tree, root=tmp_path)


@each_tree
def test_the_order_of_the_files_changes_nothing(tree: Tree, tmp_path: Path) -> None:
    contract.check_order_of_files(tree, root=tmp_path)


@each_tree
def test_an_archive_gives_what_the_folder_gives(tree: Tree, tmp_path: Path) -> None:
    contract.check_archive(tree, root=tmp_path)


@each_tree
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
