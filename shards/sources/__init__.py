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
from .common_carotid_artery import COMMON_CAROTID_ARTERY
from .ddti import DDTI
from .echocp import ECHOCP
from .echonet_dynamic import ECHONET_DYNAMIC
from .echonet_pediatric import ECHONET_PEDIATRIC
from .fallmud import FALLMUD
from .fass import FASS
from .phantom import plan_phantom
from .published_source import FoundImage, PublishedSource
from .source_card import SourceCard
from .source_plan import PlannedSample, SourceFactory, SourcePlan
from .us30k import plan_us30k
from .us105 import US105

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
    "common_carotid_artery": COMMON_CAROTID_ARTERY,
    "ddti": DDTI,
    "echocp": ECHOCP,
    "echonet_dynamic": ECHONET_DYNAMIC,
    "echonet_pediatric": ECHONET_PEDIATRIC,
    "fallmud": FALLMUD,
    "fass": FASS,
    "phantom": plan_phantom,
    "us30k": plan_us30k,
}

__all__ = [
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
