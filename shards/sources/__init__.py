"""Raw datasets, one file each; `SOURCES` is their list."""

from .abdomenus import ABDOMENUS
from .acouslic import ACOUSLIC
from .annotated_image import (
    AnnotatedImage,
    MaskFile,
    open_image,
    read_coloured_image,
    read_drawn_frame,
    read_indexed_image,
    read_masked_image,
    read_masked_video_frame,
    read_volume_frame,
)
from .asus import ASUS
from .aul import AUL, AUL_LESIONS
from .brachial_plexus import BRACHIAL_PLEXUS
from .breast_lesions_usg import BREAST_LESIONS_USG
from .buid import BUID
from .bus import BUS
from .bus_bra import BUS_BRA
from .bus_uc import BUS_UC
from .bus_uclm import BUS_UCLM
from .busi import BUSI
from .camus import CAMUS
from .cardiacudc import CARDIACUDC
from .coco import plan_coco
from .common_carotid_artery import COMMON_CAROTID_ARTERY
from .ddti import DDTI
from .dicom import plan_dicom
from .dl_track import DL_TRACK
from .echocp import ECHOCP
from .echonet_dynamic import ECHONET_DYNAMIC
from .echonet_pediatric import ECHONET_PEDIATRIC
from .fallmud import FALLMUD
from .fass import FASS
from .fast_u_net import FAST_U_NET
from .fh_ps_aop import FH_PS_AOP
from .folder import plan_folder
from .gist514_db import GIST514_DB
from .hc18 import HC18
from .hmc_qu import HMC_QU
from .kidneyus import KIDNEYUS
from .luss_phantom import LUSS_PHANTOM
from .mmotu_2d import MMOTU_2D
from .mmotu_3d import MMOTU_3D
from .mup import MUP
from .nifti import plan_nifti
from .phantom import plan_phantom
from .published_source import FoundImage, PublishedSource
from .regpro import REGPRO
from .s1 import S1
from .sa_med2d_20m import SA_MED2D_20M
from .segthy import SEGTHY
from .source_card import SourceCard
from .source_plan import PlannedSample, SourceFactory, SourcePlan
from .stmus_nda import STMUS_NDA
from .stu_hospital import STU_HOSPITAL
from .tg3k import TG3K
from .thyroidultrasoundcineclip import THYROIDULTRASOUNDCINECLIP
from .tn3k import TN3K
from .tnscui import TNSCUI
from .ubpd import UBPD
from .ultrasound_nerve_segmentation import ULTRASOUND_NERVE_SEGMENTATION
from .us30k import plan_us30k
from .us105 import US105
from .usgra import USGRA

SOURCES: dict[str, SourceFactory] = {
    "105us": US105,
    "abdomenus": ABDOMENUS,
    "acouslic": ACOUSLIC,
    "asus": ASUS,
    "aul": AUL,
    "aul_lesions": AUL_LESIONS,
    "brachial_plexus": BRACHIAL_PLEXUS,
    "breast_lesions_usg": BREAST_LESIONS_USG,
    "buid": BUID,
    "bus": BUS,
    "bus_bra": BUS_BRA,
    "bus_uc": BUS_UC,
    "bus_uclm": BUS_UCLM,
    "busi": BUSI,
    "camus": CAMUS,
    "cardiacudc": CARDIACUDC,
    "coco": plan_coco,
    "common_carotid_artery": COMMON_CAROTID_ARTERY,
    "ddti": DDTI,
    "dicom": plan_dicom,
    "dl_track": DL_TRACK,
    "echocp": ECHOCP,
    "echonet_dynamic": ECHONET_DYNAMIC,
    "echonet_pediatric": ECHONET_PEDIATRIC,
    "fallmud": FALLMUD,
    "fass": FASS,
    "fast_u_net": FAST_U_NET,
    "fh_ps_aop": FH_PS_AOP,
    "folder": plan_folder,
    "gist514_db": GIST514_DB,
    "hc18": HC18,
    "hmc_qu": HMC_QU,
    "kidneyus": KIDNEYUS,
    "luss_phantom": LUSS_PHANTOM,
    "mmotu_2d": MMOTU_2D,
    "mmotu_3d": MMOTU_3D,
    "mup": MUP,
    "nifti": plan_nifti,
    "phantom": plan_phantom,
    "regpro": REGPRO,
    "s1": S1,
    "sa_med2d_20m": SA_MED2D_20M,
    "segthy": SEGTHY,
    "stmus_nda": STMUS_NDA,
    "stu_hospital": STU_HOSPITAL,
    "tg3k": TG3K,
    "thyroidultrasoundcineclip": THYROIDULTRASOUNDCINECLIP,
    "tn3k": TN3K,
    "tnscui": TNSCUI,
    "ubpd": UBPD,
    "ultrasound_nerve_segmentation": ULTRASOUND_NERVE_SEGMENTATION,
    "us30k": plan_us30k,
    "usgra": USGRA,
}

CARDS: dict[str, SourceCard] = {
    name: source.card for name, source in SOURCES.items() if isinstance(source, PublishedSource)
}
"""Of the published datasets."""

__all__ = [
    "CARDS",
    "SOURCES",
    "AnnotatedImage",
    "FoundImage",
    "MaskFile",
    "PlannedSample",
    "PublishedSource",
    "SourceCard",
    "SourceFactory",
    "SourcePlan",
    "open_image",
    "read_coloured_image",
    "read_drawn_frame",
    "read_indexed_image",
    "read_masked_image",
    "read_masked_video_frame",
    "read_volume_frame",
]
