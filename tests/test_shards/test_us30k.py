import json
import shutil

import numpy as np
import pytest
from PIL import Image

from shards import BuildConfig, Us30kConfig, build_corpora, open_corpus
from shards.build_report import BuildReport
from shards.sources.us30k_datasets import find_dataset
from tests.support.corpora import Us30kTree, make_us30k, square_labels


def samples_of(output, split):
    corpus = open_corpus(str(output / split))
    samples = [corpus.read_flat(place) for place in range(corpus.num_samples)]
    return {sample.key: sample for sample in samples}


def notes_of(output):
    return json.loads((output / "corpus.json").read_text())["notes"]


def build_one(tmp_path, *, labels, lines=("1/FetalHead-HC18/001_HC",), classes=2, **options):
    """Build a tree of one training image and return its samples by key."""
    tree = Us30kTree(tmp_path / "raw", classes={"FetalHead-HC18": classes})
    tree.add_image("FetalHead-HC18", "001_HC", labels=labels)
    tree.write_list("train", list(lines))
    us30k = Us30kConfig(validation_lists=[], test_lists=[])
    build_corpora(tree.config(tmp_path / "out", us30k=us30k, **options))
    return samples_of(tmp_path / "out", "train")


def test_lines_of_one_image_become_one_sample_with_several_objects(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    build_corpora(tree.config(tmp_path / "out"))
    train = samples_of(tmp_path / "out", "train")
    assert sorted(train) == [
        "echocardiography-camus__0055_2ch_000",
        "fetalhead-hc18__001_2hc",
        "fetalhead-hc18__001_hc",
    ]
    echo = train["echocardiography-camus__0055_2ch_000"]
    assert [thing.category for thing in echo.objects] == [
        "left_ventricle_endocardium",
        "myocardium",
    ]
    labels = square_labels((1, 2, 3))
    for class_index, thing in enumerate(echo.objects, start=1):
        assert np.array_equal(thing.mask(), labels == class_index)


def test_lines_of_a_test_list_mean_every_class_of_the_mask(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    build_corpora(tree.config(tmp_path / "out"))
    echo = samples_of(tmp_path / "out", "test")["echocardiography-camus__0056_2ch_007"]
    assert [thing.category for thing in echo.objects] == [
        "left_ventricle_endocardium",
        "left_atrium",
    ]


def test_the_origin_tells_subject_sequence_frame_and_terms(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    build_corpora(tree.config(tmp_path / "out"))
    train = samples_of(tmp_path / "out", "train")
    echo = train["echocardiography-camus__0055_2ch_000"].origin
    assert (echo.subject, echo.sequence, echo.frame) == ("0055", "0055_2CH", 0)
    assert echo.licence == "CC-BY-NC-SA-4.0"
    head = train["fetalhead-hc18__001_2hc"].origin
    assert (head.subject, head.subject_is_known, head.original_size) == ("001", True, (20, 30))
    assert head.official_split == "train"


def test_the_stored_picture_is_the_source_file(tmp_path):
    [sample] = build_one(tmp_path, labels=square_labels((1,))).values()
    with Image.open(tmp_path / "raw/FetalHead-HC18/img/001_HC.png") as picture:
        assert np.array_equal(sample.image, np.asarray(picture))


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_in_a_dataset_of_two_classes_any_value_but_0_is_the_first(tmp_path, mode):
    tree = Us30kTree(tmp_path / "raw", classes={"FetalHead-HC18": 2})
    labels = square_labels((1,))
    tree.add_image("FetalHead-HC18", "001_HC", labels=labels)
    mask = Image.fromarray(labels * 255).convert(mode)
    mask.save(tmp_path / "raw/FetalHead-HC18/label/001_HC.png")
    tree.write_list("train", ["1/FetalHead-HC18/001_HC"])
    us30k = Us30kConfig(validation_lists=[], test_lists=[])
    build_corpora(tree.config(tmp_path / "out", us30k=us30k))
    [sample] = samples_of(tmp_path / "out", "train").values()
    assert np.array_equal(sample.objects[0].mask(), labels != 0)
    assert not notes_of(tmp_path / "out")


def test_values_below_the_classes_are_refused_rather_than_counted_from_the_last(tmp_path):
    tree = Us30kTree(tmp_path / "raw", classes={"Liver-NEW": 3})
    tree.add_image("Liver-NEW", "a")
    (tree.root / "Liver-NEW/label/a.png").unlink()
    labels = square_labels((1, 2)).astype(np.int32)
    Image.fromarray(-labels).save(tree.root / "Liver-NEW/label/a.tif")
    tree.write_list("train", ["Liver-NEW/a"])
    us30k = Us30kConfig(validation_lists=[], test_lists=[])
    with pytest.raises(ValueError, match=r"a.tif: holds the values \[-2, -1, 0\]"):
        build_corpora(tree.config(tmp_path / "out", us30k=us30k))


def test_soft_edges_of_a_one_class_mask_count_and_are_noted(tmp_path):
    labels = square_labels((1,)) * 255
    labels[4, 2:8] = 90
    [sample] = build_one(tmp_path, labels=labels).values()
    assert np.array_equal(sample.objects[0].mask(), labels != 0)
    assert notes_of(tmp_path / "out") == {
        "masks of one class with values other than 0, 1 and 255": 1
    }


def test_components_of_one_class_stay_one_object(tmp_path):
    labels = square_labels((1, 1, 1))
    [sample] = build_one(tmp_path, labels=labels).values()
    [thing] = sample.objects
    assert thing.num_components == 3


def test_a_training_split_without_any_object_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not one of 1 training images has an object"):
        build_one(tmp_path, labels=square_labels(()))
    assert not (tmp_path / "out").exists()


def test_a_line_whose_class_is_not_in_the_mask_keeps_the_image_and_is_noted(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    tree.add_image("FetalHead-HC18", "001_HC", labels=square_labels(()))
    build_corpora(tree.config(tmp_path / "out"))
    assert samples_of(tmp_path / "out", "train")["fetalhead-hc18__001_hc"].objects == ()
    assert notes_of(tmp_path / "out") == {
        "images without an object": 1,
        "lines whose class is not in the mask": 1,
    }


def test_an_unknown_dataset_gets_categories_from_its_name_and_unknown_terms(tmp_path):
    tree = Us30kTree(tmp_path / "raw", classes={"Liver-NEW": 3})
    tree.add_image("Liver-NEW", "a", labels=square_labels((1, 2)))
    tree.write_list("train", ["Liver-NEW/a"])
    us30k = Us30kConfig(validation_lists=[], test_lists=[])
    [source] = build_corpora(tree.config(tmp_path / "out", us30k=us30k))["train"].sources
    assert source.categories == ("liver_1", "liver_2")
    assert (source.licence, source.num_unknown_subjects) == ("unknown", 1)


@pytest.mark.parametrize(
    ("name", "num_classes", "licence", "doubt"),
    [
        ("FetalHead-HC18", 1, "CC-BY-4.0", None),
        ("HC18", 1, "CC-BY-4.0", None),
        ("Heart-HMC-QU", 1, "unknown", None),
        ("Head-NotHC18", 1, "unknown", "did you mean hc18"),
        ("Head-HC-81", 1, "unknown", "did you mean hc18"),
        ("FetalHead-HC18", 2, "unknown", "hc18 has 1 classes there, not 2"),
        ("Liver-NEW", 1, "unknown", "Liver-NEW; its licence is unknown"),
    ],
)
def test_a_dataset_is_known_by_its_exact_name_and_a_close_one_is_noted(
    name, num_classes, licence, doubt
):
    report = BuildReport()
    dataset = find_dataset(name, num_classes=num_classes, report=report)
    assert dataset.licence == licence
    assert len(dataset.categories) == num_classes
    assert [doubt in note for note in report.notes] == ([True] if doubt else [])


@pytest.mark.parametrize("folder", ["ThyroidNodule-TG3K", "ThyroidGland-TG3K"])
def test_the_two_names_of_tg3k_are_one_dataset(tmp_path, folder):
    tree = Us30kTree(tmp_path / "raw", classes={"ThyroidNodule-TG3K": 2})
    for name in ("trainval0000", "trainval3226"):
        tree.add_image("ThyroidNodule-TG3K", name)
    (tmp_path / "raw/ThyroidNodule-TG3K").rename(tmp_path / "raw" / folder)
    tree.write_list("train", ["1/ThyroidNodule-TG3K/trainval0000"])
    tree.write_list("val", ["1/ThyroidGland-TG3K/trainval3226"])
    us30k = Us30kConfig(test_lists=[])
    build_corpora(tree.config(tmp_path / "out", us30k=us30k))
    [sample] = samples_of(tmp_path / "out", "validation").values()
    assert sample.key == "thyroidnodule-tg3k__trainval3226"
    assert sample.objects[0].category == "thyroid_gland"


def break_everything(root):
    """Break a tree in every way that a list, a file or a mask can be broken."""
    tree = Us30kTree(root, classes={"FetalHead-HC18": 2, "Echocardiography-CAMUS": 4})
    tree.add_image("FetalHead-HC18", "good")
    tree.add_image("FetalHead-HC18", "cut")
    cut = root / "FetalHead-HC18/img/cut.png"
    cut.write_bytes(cut.read_bytes()[:100])
    tree.add_image("FetalHead-HC18", "small", labels=square_labels((1,), rows=19))
    tree.add_image("FetalHead-HC18", "dot", pixels=np.zeros((1, 1), np.uint8))
    tree.add_image("FetalHead-HC18", "A b")
    tree.add_image("FetalHead-HC18", "a-b")
    tree.add_image("FetalHead-HC18", "twice")
    Image.new("L", (30, 20)).save(root / "FetalHead-HC18/img/twice.jpg")
    tree.add_image("Echocardiography-CAMUS", "0001_2CH_0", labels=square_labels((1, 7)))
    heads = ["good", "cut", "small", "dot", "A b", "a-b", "twice", "missing"]
    tree.write_list(
        "train",
        [
            *(f"1/FetalHead-HC18/{name}" for name in heads),
            "1/Echocardiography-CAMUS/0001_2CH_0",
            "4/Echocardiography-CAMUS/0001_2CH_0",
            "1/Kidney-NONE/001",
            "FetalHead-HC18",
        ],
    )
    tree.write_list("val", [])
    return tree


def test_one_report_names_every_problem_with_file_and_remedy(tmp_path):
    tree = break_everything(tmp_path / "raw")
    with pytest.raises(ValueError, match="12 problems") as caught:
        build_corpora(tree.config(tmp_path / "out"))
    message = str(caught.value)
    for expected in [
        "cut.png: cannot be decoded as a picture",
        "small.png: mask is 19 x 30 pixels, image is 20 x 30",
        "dot.png: the picture has 1 x 1 pixels",
        "A b.png and",
        "a-b.png: both would be fetalhead-hc18__a-b",
        "twice.jpg and twice.png could both be meant",
        "missing.png: does not exist",
        "0001_2CH_0.png: holds the values [0, 1, 7], class.json allows 0 to 3",
        "train.txt line 10: class 4 of Echocardiography-CAMUS, which has 1 to 3",
        "train.txt line 11: dataset 'Kidney-NONE' is not in class.json",
        "train.txt line 12: 'FetalHead-HC18'; expected CLASS/DATASET/NAME",
        "val.txt: names no image",
        "test.txt: cannot be read",
    ]:
        assert expected in message
    assert not (tmp_path / "out").exists()


def test_a_bounded_number_of_broken_samples_can_be_left_out(tmp_path):
    tree = break_everything(tmp_path / "raw")
    # The lists themselves are whole: how much a lost one named nobody could tell (test below).
    us30k = Us30kConfig(validation_lists=[], test_lists=[])
    options = {"us30k": us30k, "max_skipped_samples": 10}
    manifests = build_corpora(tree.config(tmp_path / "out", **options))
    assert sorted(samples_of(tmp_path / "out", "train")) == [
        "fetalhead-hc18__a-b",
        "fetalhead-hc18__good",
    ]
    assert set(manifests) == {"train"}
    skipped = json.loads((tmp_path / "out/corpus.json").read_text())["skipped"]
    assert sum(skipped.values()) == 10


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"\n", "names no image"),
        (b"1/Head/\xff", r"is no text in UTF-8"),
    ],
)
def test_a_list_that_cannot_be_used_is_no_broken_sample_to_leave_out(tmp_path, content, problem):
    tree = make_us30k(tmp_path / "raw")
    if content is not None:
        (tree.lists / "train-more.txt").write_bytes(content)
    us30k = Us30kConfig(train_lists=["train", "train-more"])
    with pytest.raises(ValueError, match=rf"train-more.txt: {problem}.*us30k.train_lists"):
        build_corpora(tree.config(tmp_path / "out", us30k=us30k, max_skipped_samples=99))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["missing", "unreadable"])
def test_a_listed_split_of_which_no_image_is_left_is_refused(tmp_path, damage):
    tree = make_us30k(tmp_path / "raw")
    image = tree.root / "FetalHead-HC18/img/002_HC.png"
    if damage == "missing":
        image.unlink()
    else:
        image.write_bytes(b"no picture")
    with pytest.raises(ValueError, match="no image is left for the validation split"):
        build_corpora(tree.config(tmp_path / "out", max_skipped_samples=5))
    assert not (tmp_path / "out").exists()


def test_a_report_spells_out_only_the_first_of_many(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    tree.write_list("train", [f"1/FetalHead-HC18/{number}" for number in range(25)])
    with pytest.raises(ValueError, match=r"file missing \(25\)(.|\n)*and 15 more of this kind"):
        build_corpora(tree.config(tmp_path / "out"))


def test_a_subject_in_two_splits_is_refused_or_reported(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    tree.write_list("val", ["1/FetalHead-HC18/001_2HC"])
    tree.write_list("train", ["1/FetalHead-HC18/001_HC"])
    with pytest.raises(ValueError, match=r"hc18, subject 001: .*001_HC.png in train, .*leaks=rep"):
        build_corpora(tree.config(tmp_path / "out"))
    build_corpora(tree.config(tmp_path / "out", leaks="report"))
    fields = json.loads((tmp_path / "out/corpus.json").read_text())
    assert fields["num_leaked_subjects"] == 1
    assert fields["notes"]["subjects in more than one split"] == 1


def test_leaving_out_broken_samples_never_lets_a_leak_pass(tmp_path):
    tree = make_us30k(tmp_path / "raw")
    tree.write_list("val", ["1/FetalHead-HC18/001_2HC"])
    with pytest.raises(ValueError, match=r"1 problems.* lets neither a leak nor"):
        build_corpora(tree.config(tmp_path / "out", max_skipped_samples=5))
    assert not (tmp_path / "out").exists()


def test_one_image_in_two_splits_is_a_leak_even_of_an_unknown_subject(tmp_path):
    tree = Us30kTree(tmp_path / "raw", classes={"Breast-BUSI": 2})
    tree.add_image("Breast-BUSI", "benign0046")
    tree.write_list("train", ["1/Breast-BUSI/benign0046"])
    tree.write_list("test", ["Breast-BUSI/benign0046"])
    us30k = Us30kConfig(validation_lists=[])
    with pytest.raises(ValueError, match="subject in more than one split"):
        build_corpora(tree.config(tmp_path / "out", us30k=us30k))
    drawn = {"splits": "subject", "validation_fraction": 0.0, "test_fraction": 0.0}
    manifests = build_corpora(tree.config(tmp_path / "out", us30k=us30k, **drawn))
    assert {split: one.num_samples for split, one in manifests.items()} == {"train": 1}


def test_splits_can_be_drawn_by_subject_instead(tmp_path):
    tree = Us30kTree(tmp_path / "raw", classes={"FetalHead-HC18": 2})
    names = [f"{number:03d}_{frame}HC" for number in range(20) for frame in (1, 2)]
    for name in names:
        tree.add_image("FetalHead-HC18", name)
    tree.write_list("train", [f"1/FetalHead-HC18/{name}" for name in names])
    us30k = Us30kConfig(validation_lists=[], test_lists=[])
    build_corpora(tree.config(tmp_path / "out", us30k=us30k, splits="subject"))
    subjects = {
        split: {sample.origin.subject for sample in samples_of(tmp_path / "out", split).values()}
        for split in ("train", "validation", "test")
    }
    assert all(subjects.values())
    assert sum(map(len, subjects.values())) == 20


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (None, "source=us30k needs root=FOLDER"),
        ("nowhere", "there is no such folder"),
        (".", r"MainPatient/class.json is missing, so this is not the US30K layout"),
    ],
)
def test_a_root_that_is_none_is_refused(tmp_path, root, message):
    path = None if root is None else str(tmp_path / root)
    with pytest.raises(ValueError, match=message):
        build_corpora(BuildConfig(source="us30k", root=path, output=str(tmp_path / "out")))


def test_an_archive_as_root_is_asked_to_be_unpacked(tmp_path):
    make_us30k(tmp_path / "raw")
    root = shutil.make_archive(str(tmp_path / "US30K"), "zip", tmp_path / "raw")
    with pytest.raises(ValueError, match=r"US30K\.zip: is a file, .* no archives\. Unpack it"):
        build_corpora(BuildConfig(source="us30k", root=root, output=str(tmp_path / "out")))


@pytest.mark.parametrize("content", ["[]", "{", "{}", '{"A": 1}', '{"A": "many"}'])
def test_a_class_file_that_says_nothing_is_refused(tmp_path, content):
    tree = make_us30k(tmp_path / "raw")
    (tree.lists / "class.json").write_text(content)
    with pytest.raises(ValueError, match=r"class.json: .*Mend it"):
        build_corpora(tree.config(tmp_path / "out"))


def test_lines_in_windows_style_with_blank_ones_are_understood(tmp_path):
    lines = "\ufeff1/FetalHead-HC18/001_HC\r\n\r\n1/FetalHead-HC18/001_HC\r\n"
    tree = make_us30k(tmp_path / "raw")
    (tree.lists / "train.txt").write_bytes(lines.encode())
    manifests = build_corpora(tree.config(tmp_path / "out"))
    assert manifests["train"].num_samples == 1
    assert notes_of(tmp_path / "out")["lines that repeat an earlier one"] == 1
