"""A small ultrasound simulator: scatterers, point spread function, attenuation, scan conversion.

Lengths are in units of the imaging depth: `depth` runs downwards from the probe's face (0) to the
bottom of the image (1), `lateral` is 0 in the middle. Sound travels along beams, so echoes are made
on a grid of (range, beam) and drawn on the image afterwards.

Axis names used in this file:
    range   samples along a beam, away from the probe
    beam    lines of sight, from left to right
    row     image rows, in pixels, downwards
    column  image columns, in pixels
"""

from dataclasses import dataclass

import numpy as np

NUM_RANGES = 300
NUM_BEAMS = 128
PAD = 16
CYCLES_PER_RANGE_SAMPLE = 0.22
FACE_RADIUS = 0.35
"""Of the convex probe; its beams diverge from a point this far above its face."""

HALF_ANGLE_RADIANS = 0.62
CONVEX_SHARE = 0.5
TISSUE_LOSS = 4.2
"""Nepers of amplitude over the whole depth, there and back."""

COMPENSATED_LOSS = 3.2
"""What the scanner's gain makes up for; the rest is seen as darkening with depth."""

NOISE = 2e-4
"""Of the receiver, before the gain."""

EMPTY_SHARE = 0.12
"""Share of frames, the first one apart, in which the plane misses every structure."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """How a kind of object answers sound."""

    category: str
    echogenicity: float
    """Amplitude relative to the tissue around it."""

    attenuation: float
    """Relative to tissue (1): below it the image behind is bright, far above it dark."""

    wall: float
    """Strength of the reflection where a beam crosses the border."""

    lobes: float
    """How far the outline leaves the ellipse, relative to its radius."""


STRUCTURES = (
    Structure(category="phantom_cyst", echogenicity=0.02, attenuation=0.05, wall=1.5, lobes=0.03),
    Structure(category="phantom_nodule", echogenicity=0.22, attenuation=1.6, wall=0.0, lobes=0.22),
    Structure(category="phantom_bone", echogenicity=9.0, attenuation=18.0, wall=2.0, lobes=0.0),
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One object of a scene."""

    structure: Structure
    centre: tuple[float, float]
    """Lateral and depth."""

    radii: tuple[float, float]
    angle_radians: float
    lobe_phases: tuple[float, ...]
    bend: float
    """Curvature of a bone's surface."""

    drift: tuple[float, float]
    """Movement over the whole series."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One subject: the probe and what lies under it."""

    size: tuple[int, int]
    spacing_millimetres: float
    is_convex: bool
    targets: tuple[Target, ...]
    tissue_seed: int
    dynamic_range_decibels: float
    focus_depth: float


def draw_scene(
    generator: np.random.Generator, *, min_size_pixels: int, max_size_pixels: int
) -> Scene:
    """Draw a subject: image size, probe, and one to three targets that do not touch."""
    rows, columns = (
        int(side) for side in generator.integers(min_size_pixels, max_size_pixels, 2, endpoint=True)
    )
    is_convex = bool(generator.random() < CONVEX_SHARE)
    half_width = 0.5 * columns / rows
    targets: list[Target] = []
    num_wanted = int(generator.integers(1, 4))
    for _ in range(4 * num_wanted):
        target = _draw_target(generator, half_width=half_width)
        is_free = all(_distance(target, other) > 0 for other in targets)
        if is_free and len(targets) < num_wanted:
            targets.append(target)
    return Scene(
        size=(rows, columns),
        spacing_millimetres=round(float(generator.uniform(40.0, 90.0)) / rows, 4),
        is_convex=is_convex,
        targets=tuple(targets),
        tissue_seed=int(generator.integers(2**31)),
        dynamic_range_decibels=float(generator.uniform(48.0, 60.0)),
        focus_depth=float(generator.uniform(0.35, 0.65)),
    )


def simulate_frame(
    scene: Scene, *, progress: float, generator: np.random.Generator
) -> tuple[np.ndarray, list[tuple[str, np.ndarray]]]:
    """Return one frame (uint8, row column) and its (category, bool mask) pairs.

    Args:
        scene: The subject.
        progress: Place in the series, in [0, 1): structures drift and breathe with it.
        generator: For what differs from frame to frame: speckle, noise, the plane.
    """
    is_empty = generator.random() < EMPTY_SHARE and progress > 0
    targets = () if is_empty else scene.targets
    lateral, depth = _beam_grid(scene)
    amplitude, attenuation = _tissue(scene, lateral=lateral, depth=depth)
    for target in targets:
        inside = _inside(target, lateral=lateral, depth=depth, progress=progress)
        structure = target.structure
        amplitude = np.where(inside, structure.echogenicity * amplitude.mean(), amplitude)
        crossing = np.abs(np.diff(inside.astype(np.float32), axis=0, prepend=0.0))
        amplitude += structure.wall * crossing
        attenuation = np.where(inside, structure.attenuation, attenuation)
    decibels = _echoes(scene, amplitude=amplitude, attenuation=attenuation, generator=generator)
    image, visible = _scan_convert(scene, decibels=decibels)
    lateral, depth = _image_grid(scene)
    masks = [
        (
            target.structure.category,
            _inside(target, lateral=lateral, depth=depth, progress=progress) & visible,
        )
        for target in targets
    ]
    return image, masks


def _draw_target(generator: np.random.Generator, *, half_width: float) -> Target:
    structure = STRUCTURES[int(generator.integers(len(STRUCTURES)))]
    is_bone = structure.category == "phantom_bone"
    radius = generator.uniform(0.12, 0.2) if is_bone else generator.uniform(0.1, 0.18)
    flatness = 0.16 if is_bone else generator.uniform(0.55, 0.95)
    depth = generator.uniform(0.28, 0.78)
    # The narrower of a linear image and a convex probe's sector, where the target lies.
    seen = min(half_width, (FACE_RADIUS + depth) * np.tan(HALF_ANGLE_RADIANS))
    reach = max(seen - 1.2 * radius, 0.02)
    return Target(
        structure=structure,
        centre=(float(generator.uniform(-reach, reach)), float(depth)),
        radii=(float(radius), float(radius * flatness)),
        angle_radians=float(generator.uniform(-0.5, 0.5)),
        lobe_phases=tuple(float(phase) for phase in generator.uniform(0.0, 2 * np.pi, 3)),
        bend=float(generator.uniform(1.0, 3.0)) if is_bone else 0.0,
        drift=(float(generator.uniform(-0.12, 0.12)), float(generator.uniform(-0.06, 0.06))),
    )


def _distance(target: Target, other: Target) -> float:
    """Return the gap between the circles around two targets, drift included.

    Beside a bone only the gap across counts: in its shadow nothing could be seen.
    """
    across = target.centre[0] - other.centre[0]
    down = target.centre[1] - other.centre[1]
    is_shadowed = max(target.structure.attenuation, other.structure.attenuation) > 10
    gap = abs(across) if is_shadowed else np.hypot(across, down)
    return float(gap) - 1.25 * (max(target.radii) + max(other.radii)) - 0.05


def _inside(
    target: Target, *, lateral: np.ndarray, depth: np.ndarray, progress: float
) -> np.ndarray:
    """Return where the target lies on a grid: an ellipse with lobes, bent for a bone."""
    swing = np.sin(2 * np.pi * progress)
    across = lateral - target.centre[0] - target.drift[0] * swing
    down = depth - target.centre[1] - target.drift[1] * swing
    cosine, sine = np.cos(target.angle_radians), np.sin(target.angle_radians)
    along = (cosine * across + sine * down) / target.radii[0]
    off = (cosine * down - sine * across) / target.radii[1] - target.bend * along**2
    angle = np.arctan2(off, along)
    outline = 1.0 + 0.08 * np.cos(2 * np.pi * progress + target.lobe_phases[0])
    for order, phase in enumerate(target.lobe_phases, start=2):
        outline = outline + target.structure.lobes / order * np.cos(order * angle + phase)
    return np.hypot(along, off) < outline


def _beam_grid(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return lateral and depth of every (range, beam)."""
    distance = np.linspace(0.0, 1.0, NUM_RANGES)[:, None]
    if not scene.is_convex:
        half_width = 0.5 * scene.size[1] / scene.size[0]
        lateral = np.linspace(-half_width, half_width, NUM_BEAMS)[None, :]
        return lateral + 0.0 * distance, distance + 0.0 * lateral
    angle = np.linspace(-HALF_ANGLE_RADIANS, HALF_ANGLE_RADIANS, NUM_BEAMS)[None, :]
    radius = FACE_RADIUS + distance
    return radius * np.sin(angle), radius * np.cos(angle) - FACE_RADIUS


def _image_grid(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Return lateral and depth of every pixel centre (row column)."""
    rows, columns = scene.size
    depth = (np.arange(rows)[:, None] + 0.5) / rows
    lateral = (np.arange(columns)[None, :] + 0.5 - columns / 2) / rows
    return lateral + 0.0 * depth, depth + 0.0 * lateral


def _tissue(
    scene: Scene, *, lateral: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return amplitude and attenuation of the background: cloudy tissue under wavy layers."""
    generator = np.random.default_rng(scene.tissue_seed)
    cloud = np.zeros(lateral.shape)
    for _ in range(8):
        sideways, downwards = generator.normal(0.0, 9.0, 2)
        phase = generator.uniform(0.0, 2 * np.pi)
        cloud += np.cos(sideways * lateral + downwards * depth + phase)
    amplitude = np.exp(0.2 * cloud)
    for _ in range(int(generator.integers(2, 6))):
        level, tilt, wave = generator.uniform(0.03, 0.3), *generator.normal(0.0, 0.06, 2)
        line = level + tilt * lateral + wave * np.sin(7.0 * lateral + 6.0 * level) * 0.3
        amplitude += generator.uniform(1.0, 4.0) * np.exp(-(((depth - line) / 0.006) ** 2))
    return amplitude, np.ones(lateral.shape)


def _echoes(
    scene: Scene,
    *,
    amplitude: np.ndarray,
    attenuation: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Return the log-compressed envelope (range beam), 0 at the bottom and 1 at the top."""
    tissue = np.random.default_rng(scene.tissue_seed + 1).normal(size=amplitude.shape)
    scatterers = 0.8 * tissue + 0.6 * generator.normal(size=amplitude.shape)
    reflected = (
        scatterers * amplitude * np.exp(-np.cumsum(attenuation, axis=0) * TISSUE_LOSS / NUM_RANGES)
    )
    distance = np.linspace(0.0, 1.0, NUM_RANGES)[:, None]
    sharpness = np.exp(-(((distance - scene.focus_depth) / 0.3) ** 2))
    signal = sharpness * _convolve(reflected, beam_width=1.0)
    signal = signal + (1.0 - sharpness) * _convolve(reflected, beam_width=2.2)
    gain = np.exp(COMPENSATED_LOSS * distance)
    noise = generator.normal(scale=NOISE, size=(2, *amplitude.shape))
    envelope = np.abs(signal + noise[0] + 1j * noise[1]) * gain
    decibels = 20.0 * np.log10(envelope / np.percentile(envelope, 99.8) + 1e-6)
    return np.clip(decibels / scene.dynamic_range_decibels + 1.0, 0.0, 1.0)


def _convolve(reflected: np.ndarray, *, beam_width: float) -> np.ndarray:
    """Convolve with a pulse along the range and a beam profile across (both Gaussian)."""
    # Silence on all sides: the Fourier transform would bring the skin's echo in at the bottom.
    padded = np.pad(reflected, ((0, PAD), (0, PAD)))
    along = np.fft.fftfreq(padded.shape[0])[:, None]
    across = np.fft.fftfreq(padded.shape[1])[None, :]
    pulse = np.exp(-0.5 * ((along - CYCLES_PER_RANGE_SAMPLE) * 2 * np.pi * 1.6) ** 2)
    profile = np.exp(-0.5 * (across * 2 * np.pi * beam_width) ** 2)
    signal = np.fft.ifft2(np.fft.fft2(padded) * pulse * profile) * np.sqrt(beam_width)
    return signal[: reflected.shape[0], : reflected.shape[1]]


def _scan_convert(scene: Scene, *, decibels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw (range, beam) values on the image; return the uint8 image and where beams reach."""
    from scipy import ndimage  # noqa: PLC0415 -- only simulating needs it

    lateral, depth = _image_grid(scene)
    if scene.is_convex:
        distance = np.hypot(lateral, depth + FACE_RADIUS) - FACE_RADIUS
        angle = np.arctan2(lateral, depth + FACE_RADIUS)
        beam = (angle / HALF_ANGLE_RADIANS + 1.0) / 2.0
    else:
        distance = depth
        beam = lateral * scene.size[0] / scene.size[1] + 0.5
    visible = (distance >= 0) & (distance <= 1) & (beam >= 0) & (beam <= 1)
    places = np.stack([distance * (NUM_RANGES - 1), beam * (NUM_BEAMS - 1)])
    values = ndimage.map_coordinates(decibels, places, order=1, mode="nearest")
    return np.rint(np.where(visible, values, 0.0) * 255.0).astype(np.uint8), visible
