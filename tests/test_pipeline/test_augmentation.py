"""Image and masks move together, each change can be switched off, and chance has one source."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from model import Framing
from pipeline.augmentation.augment import FramedImage, augment
from pipeline.augmentation.config import AugmentationConfig
from pipeline.augmentation.geometry import FrameMap, draw_geometry, warp_image, warp_masks
from pipeline.augmentation.intensity import IntensityChange, change_intensity, draw_intensity
from pipeline.sample_draws import Purpose, SampleDraws

GEOMETRY = ("rotation", "zoom", "flip")
CHANGES = (*GEOMETRY, "gain", "attenuation", "shadow", "speckle", "contrast", "gamma")
NOTHING: dict[str, Any] = dict.fromkeys((f"{change}_probability" for change in CHANGES), 0.0)
EVERYTHING: dict[str, Any] = dict.fromkeys(NOTHING, 1.0)
SHAPES = [(192, 192), (150, 260), (301, 200), (700, 500)]


def only(**switched_on: Any) -> AugmentationConfig:
    return AugmentationConfig(**{**NOTHING, **switched_on})


def bright_objects(shape: tuple[int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Two ellipses, one at 200 and one at 255, on a background of 40 with a dark rim."""
    rows, columns = shape
    row, column = np.mgrid[:rows, :columns]
    image = np.full(shape, 40, dtype=np.uint8)
    masks = []
    for brightness, (middle_row, middle_column) in ((200, (0.4, 0.35)), (255, (0.6, 0.7))):
        away = ((row / rows - middle_row) / 0.18) ** 2 + (
            (column / columns - middle_column) / 0.13
        ) ** 2
        masks.append(away < 1)
        image[away < 1] = brightness
    return image, masks


def run(
    image: np.ndarray,
    masks: Sequence[np.ndarray],
    config: AugmentationConfig,
    *,
    position: int = 0,
    seed: int = 0,
    framing: Framing | None = None,
    num_channels: int = 1,
) -> FramedImage:
    return augment(
        image,
        masks,
        framing=framing or Framing(input_size=96, fit="squash"),
        num_channels=num_channels,
        config=config,
        draws=SampleDraws(seed=seed, position=position),
    )


def overlap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("fit", ["squash", "letterbox"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "config",
    [
        only(rotation_probability=1.0),
        only(zoom_probability=1.0),
        only(flip_probability=1.0),
        only(rotation_probability=1.0, zoom_probability=1.0, flip_probability=1.0, max_zoom=2.0),
        only(),
    ],
    ids=["rotation", "zoom", "flip", "all", "none"],
)
def test_masks_stay_on_their_objects(fit, shape, config):
    image, masks = bright_objects(shape)
    framing = Framing(input_size=128, fit=fit)
    for position in range(4):
        framed = run(image, masks, config, position=position, framing=framing)
        bright = framed.image[0] * 255 > 120
        assert overlap(bright, framed.masks.any(0)) > 0.95
        second = framed.image[0] * 255 > 228
        assert overlap(second, framed.masks[1]) > 0.85


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_without_augmentation_an_image_is_framed_as_in_evaluation(fit, shape):
    image, masks = bright_objects(shape)
    framing = Framing(input_size=96, fit=fit)
    framed = run(image, masks, AugmentationConfig(enabled=False), framing=framing)
    expected = framing.frame(torch.from_numpy(image)[None].float() / 255.0)
    torch.testing.assert_close(framed.image, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("shape", "tolerance"), [((80, 96), 0.003), ((700, 500), 0.05)])
@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_the_affine_map_agrees_with_framing_where_it_moves_nothing(fit, shape, tolerance):
    random = np.random.default_rng(0)
    coarse = torch.from_numpy(random.random((1, 1, 12, 12), dtype=np.float32))
    smooth = torch.nn.functional.interpolate(coarse, size=shape, mode="bicubic").clamp(0, 1)[0]
    framing = Framing(input_size=96, fit=fit)
    still = FrameMap.compose(framing, original_size=shape, geometry=np.eye(3))
    moved = warp_image(smooth, still)
    difference = (moved - framing.frame(smooth)).abs()
    rows, columns = framing.content_size(shape)
    assert difference[:, 2 : rows - 2, 2 : columns - 2].max() < tolerance


@pytest.mark.parametrize("shape", [*SHAPES, (20, 33), (1, 50)])
@pytest.mark.parametrize("fit", ["squash", "letterbox"])
def test_masks_move_as_images_do(fit, shape):
    framing = Framing(input_size=96, fit=fit)
    random = np.random.default_rng(3)
    config = AugmentationConfig(**EVERYTHING, max_zoom=2.0)
    for _ in range(6):
        geometry = draw_geometry(config, random, size=96)
        mask = np.zeros(shape, dtype=bool)
        top, left = (int(random.integers(0, side)) for side in shape)
        mask[top : top + shape[0] // 3 + 1, left : left + shape[1] // 3 + 1] = True
        frame_map = FrameMap.compose(framing, original_size=shape, geometry=geometry)
        (as_image,) = warp_image(torch.from_numpy(mask.astype(np.float32))[None], frame_map)
        (as_mask,) = warp_masks([mask], frame_map)
        surely_inside, surely_outside = as_image > 0.75, as_image < 0.25
        assert as_mask[surely_inside].all()
        assert not as_mask[surely_outside].any()


def test_a_large_image_is_not_sampled_with_gaps():
    stripes = np.zeros((960, 960), dtype=np.uint8)
    stripes[:, ::2] = 255
    framed = run(stripes, [], only(rotation_probability=1.0, max_rotation_degrees=1.0))
    inside = framed.image[0, 8:-8, 8:-8]
    assert (inside - 0.5).abs().max() < 0.05


def test_rotation_turns_a_pixel_about_the_middle():
    class Turned(np.random.Generator):
        def uniform(self, *_: Any, **__: Any) -> Any:
            return np.array([1.0, 0.0, 0.0, 0.0])

    config = only(rotation_probability=1.0, max_rotation_degrees=90.0)
    matrix = draw_geometry(config, Turned(np.random.PCG64(0)), size=10)
    assert matrix is not None
    # A quarter turn from x towards y, which runs down: upper left goes to upper right.
    np.testing.assert_allclose(matrix @ [0.0, 0.0, 1.0], [10.0, 0.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(matrix @ [5.0, 5.0, 1.0], [5.0, 5.0, 1.0], atol=1e-9)


def test_zoom_never_looks_outside_of_the_frame():
    white, zooming = (
        np.full((96, 96), 255, dtype=np.uint8),
        only(zoom_probability=1.0, max_zoom=3.0),
    )
    for position in range(30):
        assert run(white, [], zooming, position=position).image.min() > 0.999


def test_a_shrunken_image_stays_whole():
    white, middle = np.full((96, 96), 255, dtype=np.uint8), np.zeros((96, 96), dtype=bool)
    middle[24:72, 24:72] = True
    shrinking = only(zoom_probability=1.0, max_zoom=1.0, min_zoom=0.5)
    seen = [run(white, [middle], shrinking, position=position) for position in range(30)]
    shares = [float(framed.image.mean()) for framed in seen]
    assert 0.25 < min(shares) < 0.4
    assert 0.8 < max(shares) < 1.0
    covered = [4.0 * float(framed.masks.float().mean()) for framed in seen]
    assert np.allclose(covered, shares, atol=0.08)


def test_flip_is_the_mirror_image():
    image, masks = bright_objects((96, 96))
    plain, flipped = run(image, masks, only()), run(image, masks, only(flip_probability=1.0))
    torch.testing.assert_close(flipped.image, plain.image.flip(2), atol=1e-5, rtol=0)
    assert torch.equal(flipped.masks, plain.masks.flip(2))


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_acts_when_it_is_on_and_not_when_it_is_off(change):
    image, masks = bright_objects((96, 96))
    plain = run(image, masks, only())
    changed = run(image, masks, only(**{f"{change}_probability": 1.0}), position=3)
    assert not torch.equal(changed.image, plain.image)
    assert changed.image.min() >= 0.0
    assert changed.image.max() <= 1.0
    assert torch.isfinite(changed.image).all()
    moves = change in GEOMETRY
    assert torch.equal(changed.masks, plain.masks) != moves


def test_enabled_false_is_the_same_as_every_probability_zero():
    image, masks = bright_objects((120, 100))
    plain, disabled = (
        run(image, masks, only()),
        run(image, masks, AugmentationConfig(enabled=False)),
    )
    assert torch.equal(plain.image, disabled.image)
    assert torch.equal(plain.masks, disabled.masks)


def test_switching_one_change_of_intensity_off_leaves_the_draws_of_the_others():
    full = draw_intensity(AugmentationConfig(**EVERYTHING), np.random.default_rng(5))
    fields = {
        "gain": "gain_decibels",
        "attenuation": "attenuation_decibels",
        "shadow": "shadow",
        "speckle": "speckle_fraction",
        "contrast": "contrast",
        "gamma": "gamma",
    }
    for change, field in fields.items():
        config = AugmentationConfig(**{**EVERYTHING, f"{change}_probability": 0.0})
        without = draw_intensity(config, np.random.default_rng(5))
        neutral = {field: getattr(IntensityChange(), field)}
        assert without != full
        assert without == dataclasses.replace(full, **neutral)


def test_switching_rotation_or_zoom_off_leaves_the_draw_of_the_other():
    def draw(**switched_on: float) -> complex:
        matrix = draw_geometry(only(**switched_on), np.random.default_rng(5), size=96)
        assert matrix is not None
        return complex(matrix[0, 0], matrix[1, 0])

    turned, zoomed = draw(rotation_probability=1.0), draw(zoom_probability=1.0)
    both = draw(rotation_probability=1.0, zoom_probability=1.0)
    assert abs(turned * zoomed - both) < 1e-12


def test_the_same_place_is_drawn_alike_and_another_place_or_seed_is_not():
    image, masks = bright_objects((96, 96))
    config = AugmentationConfig(**EVERYTHING)
    first = run(image, masks, config, position=7, seed=1)
    again = run(image, masks, config, position=7, seed=1)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.masks, again.masks)
    assert not torch.equal(first.image, run(image, masks, config, position=8, seed=1).image)
    assert not torch.equal(first.image, run(image, masks, config, position=7, seed=2).image)


def test_augmentation_neither_reads_nor_moves_the_global_generators():
    image, masks = bright_objects((96, 96))
    config = AugmentationConfig(**EVERYTHING)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = run(image, masks, config)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first.image, run(image, masks, config).image)


def test_purposes_have_streams_of_their_own():
    draws = SampleDraws(seed=4, position=9)
    numbers = {purpose: draws.generator(purpose).random() for purpose in Purpose}
    assert len(set(numbers.values())) == len(Purpose)


def test_black_stays_black_under_every_change_of_the_signal():
    change = IntensityChange(gain_decibels=6.0, attenuation_decibels=-10.0, speckle_fraction=0.3)
    black = torch.zeros(1, 32, 32)
    changed = change_intensity(
        black,
        change,
        acquisition=np.diag([1 / 32, 1 / 32, 1.0]),
        speckle_generator=np.random.default_rng(0),
    )
    assert torch.equal(changed, black)


def test_attenuation_darkens_with_depth_of_the_original_image_also_when_it_is_turned():
    grey = np.full((96, 96), 150, dtype=np.uint8)
    strong = {"attenuation_probability": 1.0, "max_attenuation_decibels": 60.0}
    upright = run(grey, [], only(**strong), position=1).image[0]
    assert (upright.mean(1).diff() < 0).all()
    upside_down = run(
        grey, [], only(**strong, rotation_probability=1.0, max_rotation_degrees=180.0), position=1
    ).image[0]
    geometry = draw_geometry(
        only(rotation_probability=1.0, max_rotation_degrees=180.0),
        SampleDraws(seed=0, position=1).generator(Purpose.GEOMETRY),
        size=96,
    )
    assert geometry is not None
    downwards = geometry[:2, 1]
    shallow, deep = (
        upside_down[tuple(np.round(48 + 20 * sign * downwards[::-1]).astype(int))]
        for sign in (-1, 1)
    )
    assert shallow > deep


def test_gain_moves_the_brightness_by_decibels():
    grey = torch.full((1, 8, 8), 0.5)
    changed = change_intensity(
        grey,
        IntensityChange(gain_decibels=6.0),
        acquisition=np.eye(3),
        speckle_generator=np.random.default_rng(0),
    )
    torch.testing.assert_close(changed, torch.full((1, 8, 8), 0.6))


@pytest.mark.parametrize(("contrast", "gamma"), [(0.8, 1.0), (1.6, 1.0), (1.0, 0.7), (1.0, 2.4)])
def test_contrast_and_gamma_are_those_of_torchvision(contrast, gamma):
    from torchvision.transforms.v2 import functional  # noqa: PLC0415 -- takes a second

    image = torch.from_numpy(np.random.default_rng(0).random((1, 40, 40), dtype=np.float32))
    changed = change_intensity(
        image,
        IntensityChange(contrast=contrast, gamma=gamma),
        acquisition=np.eye(3),
        speckle_generator=np.random.default_rng(0),
    )
    expected = functional.adjust_gamma(functional.adjust_contrast(image, contrast), gamma)
    torch.testing.assert_close(changed, expected, atol=1e-6, rtol=0)


def test_speckle_has_the_strength_asked_for_and_is_correlated_with_its_neighbours():
    grey = torch.full((1, 256, 256), 0.5)
    changed = change_intensity(
        grey,
        IntensityChange(speckle_fraction=0.1),
        acquisition=np.eye(3),
        speckle_generator=np.random.default_rng(0),
    )
    noise = changed[0] / 0.5 - 1.0
    assert 0.08 < noise.std() < 0.125
    neighbours = torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()])
    assert torch.corrcoef(neighbours)[0, 1] > 0.4


def test_colour_becomes_grey_by_luma_and_grey_becomes_three_equal_channels():
    colour = np.zeros((96, 96, 3), dtype=np.uint8)
    colour[..., 1] = 200
    grey = run(colour, [], only(), num_channels=1).image
    assert grey.shape == (1, 96, 96)
    torch.testing.assert_close(grey, torch.full((1, 96, 96), 0.587 * 200 / 255))
    kept = run(colour, [], only(), num_channels=3).image
    torch.testing.assert_close(kept[:, 0, 0], torch.tensor([0.0, 200 / 255, 0.0]))
    repeated = run(colour[..., 1], [], AugmentationConfig(), num_channels=3).image
    assert repeated.shape == (3, 96, 96)
    assert torch.equal(repeated[0], repeated[2])


@pytest.mark.parametrize("num_channels", [1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_the_smallest_images_pass(shape, num_channels):
    image = np.full(shape, 128, dtype=np.uint8)
    config = AugmentationConfig(**EVERYTHING)
    framed = run(image, [np.ones(shape, dtype=bool)], config, num_channels=num_channels)
    assert framed.image.shape == (num_channels, 96, 96)
    assert torch.isfinite(framed.image).all()
    assert framed.masks.shape == (1, 96, 96)


def test_read_only_and_column_major_arrays_are_taken_as_they_are():
    image, masks = bright_objects((96, 120))
    plain = run(image, masks, AugmentationConfig())
    image.flags.writeable = False
    columns_first = [np.asfortranarray(mask) for mask in masks]
    again = run(image, columns_first, AugmentationConfig())
    assert torch.equal(plain.image, again.image)
    assert torch.equal(plain.masks, again.masks)


def test_framing_maps_corners_to_corners():
    squash = Framing(input_size=96, fit="squash")
    frame_map = FrameMap.compose(squash, original_size=(200, 300), geometry=None)
    matrix = frame_map.framed_of_original
    np.testing.assert_allclose(matrix @ [0.0, 0.0, 1.0], [0.0, 0.0, 1.0], atol=1e-4)
    np.testing.assert_allclose(matrix @ [300.0, 200.0, 1.0], [96.0, 96.0, 1.0], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma_probability", 2.0),
        ("max_rotation_degrees", 270.0),
        ("max_zoom", 0.5),
        ("min_zoom", 1.5),
        ("gamma_range", (2.0, 1.0)),
        ("max_gain_decibels", -1.0),
        ("min_object_pixels", 0),
    ],
)
def test_impossible_settings_are_refused_by_the_name_typed(name, value):
    with pytest.raises(ValueError, match=rf"augmentation\.{name} is"):
        AugmentationConfig(**{name: value})
