"""The one anatomy vocabulary: every category that a source may map its classes onto."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["organ", "structure", "lesion", "artefact", "instrument"]


@dataclass(frozen=True, kw_only=True)
class Category:
    """What a category is, and what it belongs to."""

    organ: str
    """As `heart`; `fetus` for everything of an unborn child."""

    kind: Kind
    """An organ as a whole, a part or layer of one, a disease, an echo, or something brought in."""


_NAMES: dict[tuple[str, Kind], str] = {
    ("abdomen", "organ"): "adrenal_gland gallbladder pancreas spleen",
    ("bone", "organ"): "bone rib",
    ("breast", "lesion"): (
        "breast_nodule breast_nodule_benign breast_nodule_malignant breast_other_finding"
    ),
    ("fetus", "organ"): "fetal_abdomen fetal_head fetal_liver fetal_stomach",
    ("fetus", "structure"): "fetal_artery fetal_vein",
    ("heart", "structure"): (
        "epicardium heart_chamber left_atrium left_ventricle_endocardium myocardium right_atrium "
        "right_ventricle"
    ),
    ("instrument", "instrument"): "needle",
    ("kidney", "organ"): "kidney",
    ("kidney", "structure"): "kidney_central_echo_complex kidney_cortex kidney_medulla",
    ("liver", "organ"): "liver",
    ("liver", "lesion"): "liver_lesion liver_lesion_benign liver_lesion_malignant",
    ("lung", "structure"): "pleural_line",
    ("lung", "artefact"): "a_line b_line b_line_confluence",
    ("muscle", "organ"): "muscle",
    ("muscle", "structure"): "aponeurosis fascicle fat",
    ("nerve", "structure"): "nerve nerve_plexus",
    ("ovary", "organ"): "normal_ovary",
    ("ovary", "lesion"): (
        "ovarian_chocolate_cyst ovarian_high_grade_serous_cystadenocarcinoma "
        "ovarian_lesion ovarian_mucinous_cystadenoma ovarian_serous_cystadenoma "
        "ovarian_simple_cyst ovarian_teratoma ovarian_theca_cell_tumour"
    ),
    ("pelvis", "structure"): "pubic_symphysis",
    ("phantom", "structure"): "phantom_bone phantom_cyst phantom_nodule",
    ("prostate", "organ"): "prostate",
    ("prostate", "structure"): "prostate_landmark",
    ("spine", "structure"): "spine",
    ("stomach", "lesion"): "gastric_leiomyoma gastric_stromal_tumour",
    ("thyroid", "organ"): "thyroid_gland",
    ("thyroid", "lesion"): "thyroid_nodule",
    ("vessel", "structure"): "artery carotid_artery jugular_vein vein vessel",
}

VOCABULARY: dict[str, Category] = {
    name: Category(organ=organ, kind=kind)
    for (organ, kind), names in _NAMES.items()
    for name in names.split()
}
"""Category -> what it is. A structure that two sources outline has one name in both."""
