"""The named architectures. Adding a model is one line here."""

from dataclasses import asdict
from typing import Any

from .autosamus_config import AutosamusArchitecture, AutosamusStudentArchitecture
from .config import Architecture, SamArchitecture, SamusArchitecture, UnetArchitecture
from .medsa_config import MedSaArchitecture
from .sam_med2d_config import SamMed2dArchitecture
from .sam_unet_config import SamUnetArchitecture
from .student_config import StudentArchitecture
from .ultrasam_config import UltrasamArchitecture

_TINY = SamusArchitecture(
    input_size=64,
    patch_size=8,
    patch_stride=4,
    position_grid=32,
    width=48,
    depth=3,
    num_heads=3,
    mlp_ratio=2.0,
    window_size=7,
    global_blocks=(1, 2),
    branch_channels=(16, 24),
    embedding_width=32,
    mask_prompt_channels=8,
    decoder_heads=4,
    decoder_mlp_width=64,
    branch_normalisation="instance",
    has_detail_skip=True,
)

_SMALL = SamusArchitecture(
    input_size=128,
    position_grid=32,
    width=128,
    depth=4,
    num_heads=2,
    mlp_ratio=3.0,
    window_size=8,
    global_blocks=(1, 3),
    branch_channels=(24, 48, 96),
    embedding_width=96,
    mask_prompt_channels=8,
    decoder_heads=3,
    decoder_mlp_width=256,
    branch_normalisation="instance",
    has_detail_skip=True,
)

_LARGE: dict[str, Any] = {
    "width": 1024,
    "depth": 24,
    "num_heads": 16,
    "global_blocks": (5, 11, 17, 23),
}
_HUGE: dict[str, Any] = {
    "width": 1280,
    "depth": 32,
    "num_heads": 16,
    "global_blocks": (7, 15, 23, 31),
}
_TINY_SAM: dict[str, Any] = {
    "input_size": 64,
    "patch_size": 8,
    "patch_stride": 8,
    "position_grid": 8,
    "width": 48,
    "depth": 3,
    "num_heads": 3,
    "mlp_ratio": 2.0,
    "window_size": 7,
    "global_blocks": (1, 2),
    "embedding_width": 32,
    "mask_prompt_channels": 8,
    "decoder_heads": 4,
    "decoder_mlp_width": 64,
}
"""For tests: what every relative of SAM is at its smallest."""

_SMALL_SAM: dict[str, Any] = {
    "input_size": 128,
    "patch_size": 8,
    "patch_stride": 8,
    "position_grid": 16,
    "width": 128,
    "depth": 4,
    "num_heads": 2,
    "mlp_ratio": 3.0,
    "window_size": 8,
    "global_blocks": (1, 3),
    "embedding_width": 96,
    "mask_prompt_channels": 8,
    "decoder_heads": 3,
    "decoder_mlp_width": 256,
}
"""For a CPU and random weights: what relatives of SAM are beside `samus_small`."""

_TINY_SAM_UNET: dict[str, Any] = _TINY_SAM | {
    "depth": 5,
    "global_blocks": (1, 2, 3, 4),
    "branch_blocks": (1, 1, 1, 1),
    "branch_channels": (8, 16, 24, 32),
}

_TINY_STUDENT: dict[str, Any] = _TINY_SAM | {
    "patch_stride": 4,
    "position_grid": 16,
    "depth": 1,
    "global_blocks": (0,),
    "branch_depths": (1, 1, 1, 1),
    "branch_channels": (16, 24, 32, 48),
}

_TINY_GENERATOR: dict[str, Any] = {
    "num_task_tokens": 8,
    "num_emitted_tokens": 2,
    "refines_output_tokens": True,
    "generator_heads": 4,
    "generator_head_width": 8,
    "generator_mlp_width": 64,
    "dense_adapter_width": 16,
}
_SMALL_GENERATOR: dict[str, Any] = {
    "num_task_tokens": 16,
    "num_emitted_tokens": 4,
    "refines_output_tokens": True,
    "generator_heads": 4,
    "generator_head_width": 24,
    "generator_mlp_width": 256,
    "dense_adapter_width": 32,
}

_MEDSAM: dict[str, Any] = {
    "fit": "squash",
    "normalises": False,
    "prompt_kinds": ("boxes",),
    "trains_prompt_encoder": False,
}

PRESETS: dict[str, Architecture] = {
    "samus_tiny": _TINY,
    "samus_small": _SMALL,
    "samus_vit_b": SamusArchitecture(),
    "samus_vit_l": SamusArchitecture(**_LARGE),
    "samus_vit_h": SamusArchitecture(**_HUGE),
    "autosamus_tiny": AutosamusArchitecture(**asdict(_TINY) | _TINY_GENERATOR),
    "autosamus_small": AutosamusArchitecture(**asdict(_SMALL) | _SMALL_GENERATOR),
    "autosamus_vit_b": AutosamusArchitecture(),
    "samus_student_tiny": StudentArchitecture(**_TINY_STUDENT),
    "samus_student": StudentArchitecture(),
    "autosamus_student_tiny": AutosamusStudentArchitecture(**_TINY_STUDENT | _TINY_GENERATOR),
    "autosamus_student": AutosamusStudentArchitecture(),
    "sam_tiny": SamArchitecture(**_TINY_SAM),
    "sam_vit_b": SamArchitecture(),
    "sam_vit_l": SamArchitecture(**_LARGE),
    "sam_vit_h": SamArchitecture(**_HUGE),
    "medsam_tiny": SamArchitecture(**_TINY_SAM | _MEDSAM),
    "medsam": SamArchitecture(**_MEDSAM),
    "ultrasam_tiny": UltrasamArchitecture(**_TINY_SAM),
    "ultrasam_small": UltrasamArchitecture(**_SMALL_SAM),
    "ultrasam_vit_b": UltrasamArchitecture(),
    "sam_unet_tiny": SamUnetArchitecture(**_TINY_SAM_UNET),
    "sam_unet_res50_tiny": SamUnetArchitecture(**_TINY_SAM_UNET, branch_has_bottlenecks=True),
    "sam_unet_small": SamUnetArchitecture(
        **dict(_SMALL_SAM, global_blocks=(0, 1, 2, 3)),
        branch_blocks=(2, 2, 2, 2),
        branch_channels=(16, 32, 64, 128),
    ),
    "sam_unet_res34_vit_b": SamUnetArchitecture(),
    "sam_unet_res50_vit_b": SamUnetArchitecture(branch_has_bottlenecks=True),
    "medsa_tiny": MedSaArchitecture(**_TINY_SAM),
    "medsa_small": MedSaArchitecture(**_SMALL_SAM),
    "medsa_vit_b": MedSaArchitecture(),
    "medsa_vit_h": MedSaArchitecture(**_HUGE),
    "sam_med2d_tiny": SamMed2dArchitecture(**_TINY_SAM),
    "sam_med2d_vit_b": SamMed2dArchitecture(),
    "unet_tiny": UnetArchitecture(input_size=64, features=(8, 8, 8, 16, 16, 8)),
    "unet_small": UnetArchitecture(input_size=160, features=(16, 16, 32, 64, 128, 16)),
    "unet": UnetArchitecture(),
}
"""Name of a preset to its architecture."""
