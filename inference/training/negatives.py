"""Pictures that show no head: families that training may see, and families that only judge.

Drawn ones follow from a number (seed); those made of the challenge's images also from the images. Nothing is fetched:
photographs are whatever pictures lie on the machine. A family that took part in training or in the choice of a limit
says so; `HELD_OUT` names those that never do.
"""

from __future__ import annotations

import hashlib
import math
import site
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from inference.domain import EllipsePx, Luminance, PixelSpacingMm
from inference.erasing import erased
from inference.measure import inside_distance_px
from inference.phantom import PhantomFamily, PhantomImage, render
from inference.training.bodies import (
    SHAPE,
    AbdomenFamily,
    BoneFamily,
    FluidFamily,
    abdomen,
    fluid,
    long_bone,
)
from inference.training.challenge import Annotated

TRAINING_SEEDS = range(500_000, 600_000)
"""Seeds of drawn negatives that training may see; judging starts at `JUDGING_SEED`."""

JUDGING_SEED = 700_000

PAINT_EVERY = 7
"""Of the images that are painted over for training, every seventh is taken first, so that few do not mean one exam."""

HELD_OUT = ("photograph", "pydicom", "pydicom-data")
"""Families that take part in no training and in no choice of a limit."""

TRAINED_ON = ("phantom without skull", "abdomen-like", "femur-like", "fluid-like", "noise", "words", "erased head")
"""Families of which training sees others of their kind: other ranges, other machines, other ways of erasing."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp")
PICTURE_FOLDERS = (Path("/usr/share"),)
SMALLEST_PICTURE_PX = 96
DEPTH_MM = (60.0, 160.0)
"""What the height of a picture without a scale is taken for, so that an outline in it has the size of a head."""


@dataclass(frozen=True, slots=True)
class NonHead:
    """One picture without a head, uint8 [rows, columns], and the scale at which it is judged."""

    family: str
    name: str
    luminance: Luminance
    spacing: PixelSpacingMm


_CLEAR = PhantomFamily("clear", psf_axial_mm=(0.22, 0.34), psf_lateral_mm=(0.5, 0.9), dynamic_range_db=(52.0, 64.0))
_COARSE = PhantomFamily("coarse", psf_axial_mm=(0.35, 0.7), psf_lateral_mm=(1.0, 2.2), dynamic_range_db=(44.0, 56.0))
_OTHER = PhantomFamily(
    "other", psf_axial_mm=(0.18, 0.5), psf_lateral_mm=(0.45, 1.6), dynamic_range_db=(48.0, 68.0), tissue_echo_db=(2, 9)
)
_DIM = replace(_OTHER, name="dim", tissue_echo_db=(-2.0, 6.0), fluid_echo_db=(-20.0, -8.0), shadow_db=(4.0, 16.0))

TRAINING_ABDOMENS = (
    AbdomenFamily("smooth", _CLEAR, roundness=(0.84, 0.94), rib_reach_deg=(25.0, 60.0), skin_mm=(0.8, 2.0)),
    AbdomenFamily("coarse", _COARSE, wobble=(0.01, 0.05), rib_parts=(2, 4), skin_echo_db=(12.0, 24.0)),
)
JUDGING_ABDOMENS = (
    AbdomenFamily("ribbed", _OTHER, rib_reach_deg=(80.0, 140.0), rib_parts=(1, 2), kidneys=True),
    AbdomenFamily("soft", _DIM, roundness=(0.90, 1.0), wobble=(0.0, 0.02), rib_echo_db=(8.0, 18.0), cord=True),
    AbdomenFamily("bright", _OTHER, roundness=(0.78, 0.92), wobble=(0.0, 0.02), skin_echo_db=(18.0, 26.0)),
)
TRAINING_BONES = (
    BoneFamily("limb", _CLEAR),
    BoneFamily("bare", _COARSE, limb=False),
)
JUDGING_BONES = (
    BoneFamily("pair", _OTHER, bones=(1, 3), bend=(0.05, 0.16), thickness_mm=(1.0, 3.0)),
    BoneFamily("thick", _DIM, thickness_mm=(4.0, 8.0), limb=False),
)
TRAINING_FLUIDS = (
    FluidFamily("sac", _CLEAR, wobble=(0.02, 0.12)),
    FluidFamily("bladder", _COARSE, wall_mm=(1.5, 3.5), content=("nothing",)),
)
JUDGING_FLUIDS = (
    FluidFamily("cyst", _OTHER, roundness=(0.7, 1.0), wobble=(0.0, 0.03), content=("nothing", "septum")),
    FluidFamily("thick wall", _DIM, wall_mm=(2.0, 5.0), wall_echo_db=(14.0, 26.0), content=("small body",)),
)
JUDGING_PHANTOMS = (
    replace(_OTHER, name="no skull, other"),
    replace(_DIM, name="no skull, dim", attenuation_db_per_cm=(0.0, 2.0)),
)


def training_negatives(count: int, images: Sequence[tuple[Luminance, EllipsePx]] = ()) -> Iterator[Luminance]:
    """`count` pictures without a head for training, uint8 [rows, columns] each; the same for the same arguments.

    Four of ten are abdomens; fluid, bones, drawings, words and noise share the rest. `images` (picture and head) must
    be images that may be trained on; where there are any, a quarter of all pictures are such images with the head
    painted over.
    """
    for index in range(count):
        seed = TRAINING_SEEDS[index]
        if images and index % 4 == 3:
            yield painted_over(*images[(index // 4) * PAINT_EVERY % len(images)], seed)
        else:
            yield _training_picture(index - (index + 1) // 4 if images else index, seed)


def _training_picture(index: int, seed: int) -> Luminance:
    turn, kind = divmod(index, len(TRAINING_ORDER))
    return TRAINING_ORDER[kind](turn, seed)


def _training_abdomen(turn: int, seed: int) -> Luminance:
    return abdomen(TRAINING_ABDOMENS[turn % len(TRAINING_ABDOMENS)], seed).luminance


def _training_bone(turn: int, seed: int) -> Luminance:
    return long_bone(TRAINING_BONES[turn % len(TRAINING_BONES)], seed).luminance


def _training_fluid(turn: int, seed: int) -> Luminance:
    return fluid(TRAINING_FLUIDS[turn % len(TRAINING_FLUIDS)], seed).luminance


def _training_flat(turn: int, seed: int) -> Luminance:
    return words(seed) if turn % 2 else coloured_noise(seed, exponents=(0.5, 1.5))


def drawing(seed: int) -> Luminance:
    """Ovals, boxes and lines in flat greys, as icons and diagrams have them; for training only."""
    rng = np.random.default_rng(seed)
    page = np.full(SHAPE, int(rng.integers(0, 256)), np.uint8)
    for _ in range(int(rng.integers(1, 9))):
        centre = (int(rng.integers(80, SHAPE[1] - 80)), int(rng.integers(80, SHAPE[0] - 80)))
        axes = (int(rng.integers(40, 220)), int(rng.integers(40, 200)))
        grey, line = int(rng.integers(0, 256)), int(rng.choice([-1, 1, 3, 6, 14]))
        if rng.random() < 0.7:
            cv2.ellipse(page, centre, axes, float(rng.uniform(0, 180)), 0, 360, grey, line, cv2.LINE_AA)
        else:
            cv2.rectangle(page, centre, (centre[0] + axes[0], centre[1] + axes[1]), grey, line)
    return cv2.GaussianBlur(page, (0, 0), float(rng.uniform(0.4, 2.0))).astype(np.uint8, copy=False)


TRAINING_ORDER: tuple[Callable[[int, int], Luminance], ...] = (
    _training_abdomen,
    _training_fluid,
    _training_abdomen,
    lambda _, seed: drawing(seed),
    _training_abdomen,
    _training_bone,
    _training_abdomen,
    _training_fluid,
    _training_flat,
    _training_bone,
)
"""What follows what in `training_negatives`; each is called with how often the order has begun anew, and a seed."""


def painted_over(image: Luminance, head: EllipsePx, seed: int) -> Luminance:
    """The image without its head, as training sees it: filled in from the border (Telea 2004), or with plain tissue.

    Both under speckle; four seeds of the one, four of the other.
    """
    rng = np.random.default_rng(seed)
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    near = inside_distance_px(head, *image.shape) > -0.18 * head.semi_minor_px
    hole = cv2.resize(near.astype(np.uint8), (small.shape[1], small.shape[0]), interpolation=cv2.INTER_NEAREST)
    filled = cv2.inpaint(small, hole, 4.0, cv2.INPAINT_TELEA)
    grown = cv2.resize(filled, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    if seed // 4 % 2:
        cells = rng.uniform(0.4, 1.6, (5, 7)).astype(np.float32) * np.percentile(image[~near], rng.uniform(40, 95))
        tissue = cv2.resize(cells, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
        grown = tissue.astype(np.float32)
    speckle = cv2.GaussianBlur(rng.rayleigh(0.8, image.shape).astype(np.float32), (0, 0), rng.uniform(1.0, 4.0))
    soft = cv2.GaussianBlur(near.astype(np.float32), (0, 0), 6.0)
    mixed = image * (1.0 - soft) + grown * (speckle / speckle.mean()) * soft
    out: Luminance = np.clip(mixed, 0, 255).astype(np.uint8)
    return out


def shuffled(image: Luminance, seed: int) -> Luminance:
    """The image cut into tiles, 3 x 4 to 6 x 8, none of which stays in its place."""
    rng = np.random.default_rng(seed)
    down = int(rng.integers(3, 7))
    across = down + int(rng.integers(1, 3))
    height, width = image.shape[0] // down, image.shape[1] // across
    count = down * across
    order = rng.permutation(count)
    while np.any(order == np.arange(count)):
        order = rng.permutation(count)
    out = image[: height * down, : width * across].copy()
    for place, source in enumerate(order):
        row, column = divmod(int(source), across)
        top, left = divmod(place, across)
        tile = image[row * height : (row + 1) * height, column * width : (column + 1) * width]
        out[top * height : (top + 1) * height, left * width : (left + 1) * width] = tile
    return out


def coloured_noise(seed: int, exponents: tuple[float, float] = (0.0, 3.0)) -> Luminance:
    """Noise whose power falls with frequency to the power of minus one of `exponents`; at times cut into blobs."""
    rng = np.random.default_rng(seed)
    exponent = rng.uniform(*exponents)
    down = np.fft.fftfreq(SHAPE[0])[:, None]
    across = np.fft.rfftfreq(SHAPE[1])[None, :]
    frequency = np.maximum(np.hypot(down, across), 1.0 / SHAPE[1])
    spectrum = np.fft.rfft2(rng.standard_normal(SHAPE)) / frequency ** (exponent / 2.0)
    field = np.fft.irfft2(spectrum, SHAPE)
    field = (field - field.mean()) / max(float(field.std()), 1e-9)
    if rng.random() < 0.3:
        field = np.where(field > rng.uniform(-0.5, 1.0), rng.uniform(0.5, 2.0), -1.0) + 0.2 * field
    out: Luminance = np.clip(rng.uniform(30, 110) + rng.uniform(15, 60) * field, 0, 255).astype(np.uint8)
    return out


_WORDS = ("HC", "BPD", "AC", "FL", "GA", "EFW", "23w4d", "14.2 cm", "2D", "Gn 56", "MI 0.9", "TIs 0.3", "AMNIOTIC", "L")


def words(seed: int) -> Luminance:
    """A screen of words, tables and curves without a picture."""
    rng = np.random.default_rng(seed)
    screen = np.full(SHAPE, int(rng.integers(0, 60)), np.uint8)
    for _ in range(int(rng.integers(8, 60))):
        place = (int(rng.integers(0, SHAPE[1] - 60)), int(rng.integers(20, SHAPE[0])))
        size, thick = float(rng.uniform(0.4, 1.6)), int(rng.integers(1, 4))
        grey = int(rng.integers(90, 256))
        cv2.putText(screen, str(rng.choice(_WORDS)), place, int(rng.integers(0, 5)), size, grey, thick, cv2.LINE_AA)
    if rng.random() < 0.5:
        _table(screen, rng)
    if rng.random() < 0.5:
        _curves(screen, rng)
    return screen


def _table(screen: Luminance, rng: np.random.Generator) -> None:
    left, top = int(rng.integers(0, 300)), int(rng.integers(0, 200))
    right, bottom = left + int(rng.integers(150, 480)), top + int(rng.integers(100, 330))
    for row in np.linspace(top, bottom, int(rng.integers(3, 9))):
        cv2.line(screen, (left, int(row)), (right, int(row)), 150, 1)
    for column in np.linspace(left, right, int(rng.integers(2, 6))):
        cv2.line(screen, (int(column), top), (int(column), bottom), 150, 1)


def _curves(screen: Luminance, rng: np.random.Generator) -> None:
    x = np.linspace(0.0, 1.0, 60)
    left, bottom = int(rng.integers(20, 200)), int(rng.integers(300, 520))
    width, height = rng.uniform(250, 560), rng.uniform(150, 280)
    for centile in np.linspace(0.6, 1.0, int(rng.integers(2, 5))):
        points = np.stack([left + width * x, bottom - height * centile * x ** rng.uniform(0.6, 1.4)], axis=1)
        cv2.polylines(screen, [points.astype(np.int32)], isClosed=False, color=200, thickness=2)


def noise(seed: int) -> Luminance:
    """Noise of many spectra, flat fields, ramps, chequers and a fan of speckle without structure."""
    rng = np.random.default_rng(seed)
    kind = seed % 6
    if kind < 3:
        return coloured_noise(seed)
    if kind == 3:
        speckle = cv2.GaussianBlur(rng.rayleigh(1.0, SHAPE).astype(np.float32), (0, 0), rng.uniform(0.5, 4.0))
        out: Luminance = np.clip(speckle * rng.uniform(20, 140), 0, 255).astype(np.uint8)
        return out
    row, column = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    if kind == 4:
        pitch = rng.uniform(6, 160)
        wave = np.sin(column / pitch + rng.uniform(0, 6)) * np.sin(row / pitch / rng.uniform(0.6, 1.6))
        chequers: Luminance = np.clip(120 + 120 * wave, 0, 255).astype(np.uint8)
        return chequers
    far = np.hypot(column - rng.uniform(100, 700), row - rng.uniform(50, 490)) / rng.uniform(60, 400)
    spot: Luminance = np.clip(255 * np.exp(-(far ** rng.uniform(1, 4))), 0, 255).astype(np.uint8)
    return spot


def pictures_on_disk(folders: Sequence[Path] | None = None) -> list[Path]:
    """Every raster picture below the packages of this Python and below /usr/share, in order, each content once."""
    if folders is None:
        folders = (*(Path(folder) for folder in site.getsitepackages()), *PICTURE_FOLDERS)
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
                found.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    return list(found.values())


def photograph(path: Path) -> Luminance | None:
    """The picture in grey, at least as tall as a small ultrasound frame; None where it is an icon or unreadable."""
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if picture is None or min(picture.shape) < SMALLEST_PICTURE_PX:
        return None
    times = max(1, math.ceil(300 / picture.shape[0]))
    grown = cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.uint8)


def scaled(family: str, name: str, luminance: Luminance, seed: int) -> NonHead:
    """A picture without a scale, at one that makes its height that of an obstetric depth setting."""
    depth = np.random.default_rng(seed).uniform(*DEPTH_MM)
    pixel = float(depth / luminance.shape[0])
    return NonHead(family, name, luminance, PixelSpacingMm(pixel, pixel))


def drawn(count: int) -> Iterator[NonHead]:
    """`count` of each drawn family that judges: no skull, abdomen, bone, fluid, noise, words."""
    makers: dict[str, Callable[[int], PhantomImage]] = {
        "phantom without skull": lambda s: render(
            JUDGING_PHANTOMS[s % 2], s, None, PixelSpacingMm(*(2 * [float(0.08 + 0.17 * (s % 97) / 97)]))
        ),
        "abdomen-like": lambda s: abdomen(JUDGING_ABDOMENS[s % len(JUDGING_ABDOMENS)], s),
        "femur-like": lambda s: long_bone(JUDGING_BONES[s % len(JUDGING_BONES)], s),
        "fluid-like": lambda s: fluid(JUDGING_FLUIDS[s % len(JUDGING_FLUIDS)], s),
    }
    for family, make in makers.items():
        for seed in range(JUDGING_SEED, JUDGING_SEED + count):
            image = make(seed)
            yield NonHead(family, str(seed), image.luminance, image.spacing_mm)
    for seed in range(JUDGING_SEED, JUDGING_SEED + count):
        yield scaled("noise", str(seed), noise(seed), seed)
        yield scaled("words", str(seed), words(seed), seed)


def from_heads(images: Sequence[Annotated]) -> Iterator[NonHead]:
    """Each image once shuffled and once with its head erased, at its own scale."""
    for index, image in enumerate(images):
        spacing = PixelSpacingMm(image.pixel_size_mm, image.pixel_size_mm)
        luminance, seed = image.luminance(), JUDGING_SEED + index
        yield NonHead("shuffled head", image.name, shuffled(luminance, seed), spacing)
        yield NonHead("erased head", image.name, erased(luminance, image.ellipse(), seed), spacing)


def photographs(folders: Sequence[Path] | None = None) -> Iterator[NonHead]:
    """Every picture that lies on this machine."""
    for index, path in enumerate(pictures_on_disk(folders)):
        picture = photograph(path)
        if picture is not None:
            yield scaled("photograph", path.name, picture, JUDGING_SEED + index)
