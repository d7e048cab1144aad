"""What an obstetric picture shows besides the head: abdomens, thigh bones and fluid, drawn like the phantoms.

They are not anatomy. They share with the real thing what could mislead an outline: an abdomen is a closed oval with a
bright border and things inside, a bone is bright and throws a shadow, a sac or a bladder is a dark oval. Families that
training may see and families that only judge differ in their ranges and in what is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from inference.domain import EllipseMm, EllipsePx, PixelSpacingMm
from inference.measure import inside_distance_px, to_pixels
from inference.phantom import Map, PhantomFamily, PhantomImage, Range, beam_incidence, scan, smooth_noise, tissue

SHAPE = (540, 800)
"""Rows and columns, as HC18's."""

GROWN_MM = 40.0
"""Semi-major axis from which skin, fat and ribs are as thick as the families say; smaller bodies have thinner ones."""

SOFT_EDGE_MM = 0.4
GREY_CURVE = (1.0, 2.8)
"""Exponent of the grey levels: HC18's heads are dark (half of the pixels in a head below 37 of 255)."""

BONE_SHADOW = 0.35
"""Share of the shadow that one millimetre of bone throws."""


@dataclass(frozen=True, slots=True)
class AbdomenFamily:
    """A style of transverse abdomen; ranges are drawn from uniformly. Shares are of the semi-major axis.

    `roundness` is the ratio of the axes, `wobble` the share by which the outline leaves the ellipse, `rib_reach_deg`
    how far each side's ribs reach along the outline, in `rib_parts` pieces.
    """

    name: str
    machine: PhantomFamily
    roundness: Range = (0.84, 1.0)
    wobble: Range = (0.0, 0.04)
    skin_mm: Range = (0.8, 2.5)
    skin_echo_db: Range = (8.0, 19.0)
    fat_mm: Range = (0.5, 4.0)
    liver_echo_db: Range = (0.0, 8.0)
    stomach_share: Range = (0.12, 0.30)
    spine_echo_db: Range = (22.0, 32.0)
    rib_echo_db: Range = (16.0, 30.0)
    rib_reach_deg: Range = (30.0, 80.0)
    rib_parts: tuple[int, int] = (1, 3)
    kidneys: bool = False
    cord: bool = False


@dataclass(frozen=True, slots=True)
class BoneFamily:
    """A style of long bone; `bones` of them side by side, `bend` the rise of the arc as a share of the length."""

    name: str
    machine: PhantomFamily
    length_mm: Range = (12.0, 75.0)
    thickness_mm: Range = (1.5, 4.5)
    echo_db: Range = (24.0, 34.0)
    bend: Range = (0.0, 0.08)
    bones: tuple[int, int] = (1, 1)
    limb: bool = True


@dataclass(frozen=True, slots=True)
class FluidFamily:
    """A style of dark oval with a wall: a sac, a bladder, a cyst; enhanced below, as fluid does not attenuate."""

    name: str
    machine: PhantomFamily
    roundness: Range = (0.5, 1.0)
    wobble: Range = (0.0, 0.10)
    wall_mm: Range = (0.4, 3.0)
    wall_echo_db: Range = (8.0, 24.0)
    content: tuple[str, ...] = field(default=("nothing", "septum", "small body"))


@dataclass(frozen=True, slots=True)
class _Scene:
    """A picture being drawn: echogenicity in dB and millimetres of bone above each pixel, both [rows, columns]."""

    rng: np.random.Generator
    machine: PhantomFamily
    spacing: PixelSpacingMm
    echo: Map
    bone: Map

    @property
    def shape(self) -> tuple[int, int]:
        return self.echo.shape[0], self.echo.shape[1]

    def paint(self, share: Map, echo_db: float | Map) -> None:
        """Mix `echo_db` in where `share` (0..1) says so."""
        np.copyto(self.echo, (self.echo * (1.0 - share) + echo_db * share).astype(np.float32))

    def brighten(self, share: Map, echo_db: float | Map) -> None:
        """Like `paint`, but never darker than before."""
        np.copyto(self.echo, np.maximum(self.echo, self.echo * (1.0 - share) + echo_db * share).astype(np.float32))

    def ossify(self, share: Map, echo_db: float) -> None:
        """Bone: bright, and in the way of what lies below."""
        self.brighten(share, echo_db + 2.0 * smooth_noise(self.rng, self.shape, 9.0 / self.spacing.column))
        np.maximum(self.bone, share, out=self.bone)

    def picture(self) -> PhantomImage:
        """What the machine shows; a picture without a head has no truth."""
        crossed = np.cumsum(self.bone, axis=0) * self.spacing.row
        deepest = self.rng.uniform(4.0, 20.0)
        shadow = np.minimum(crossed * BONE_SHADOW, 1.0) * deepest * (self.bone < 0.5)
        luminance = scan(self.machine, self.rng, self.echo, shadow.astype(np.float32), self.spacing)
        grey = 255.0 * (luminance / 255.0) ** self.rng.uniform(*GREY_CURVE)
        return PhantomImage(grey.astype(np.uint8), self.spacing, None, None)


@dataclass(frozen=True, slots=True)
class _Body:
    """An oval in the scene: depth below its border in mm (positive inside), and where each pixel lies in it.

    `along` and `across` are coordinates in units of the semi-major axis, `turn_deg` the angle around the centre.
    """

    inside_mm: Map
    along: Map
    across: Map
    turn_deg: Map
    semi_major_mm: float


def abdomen(family: AbdomenFamily, seed: int) -> PhantomImage:
    """One seeded abdomen, 540 x 800, of a size and place that a head could have."""
    scene = _scene(family.machine, seed)
    rng = scene.rng
    ellipse = _oval(scene, family.roundness)
    body = _body(scene, ellipse, rng.uniform(*family.wobble))
    _surroundings(scene, body)
    _wall(scene, body, ellipse, family)
    _organs(scene, body, family)
    _skeleton(scene, body, family)
    return scene.picture()


def long_bone(family: BoneFamily, seed: int) -> PhantomImage:
    """One or more seeded thigh-like bones with their shadow, 540 x 800."""
    scene = _scene(family.machine, seed)
    rng = scene.rng
    count = int(rng.integers(family.bones[0], family.bones[1] + 1))
    length = min(rng.uniform(*family.length_mm), 0.6 * SHAPE[1] * scene.spacing.column)
    turn = rng.uniform(-40.0, 40.0)
    centre = _centre(scene, 0.12)
    if family.limb:
        major = length * rng.uniform(0.55, 0.8)
        limb = to_pixels(EllipseMm(*centre, major, major * rng.uniform(0.3, 0.55), turn % 180.0), scene.spacing)
        body = _body(scene, limb, 0.05)
        _surroundings(scene, body)
        scene.paint(_step(body.inside_mm), rng.uniform(-4.0, 6.0) + 2.0 * smooth_noise(rng, SHAPE, 40.0))
    for index in range(count):
        _bone(scene, family, (centre[0], centre[1] + index * rng.uniform(5.0, 12.0)), length, turn)
    return scene.picture()


def fluid(family: FluidFamily, seed: int) -> PhantomImage:
    """One seeded dark oval with a wall, 540 x 800."""
    scene = _scene(family.machine, seed)
    rng = scene.rng
    ellipse = _oval(scene, family.roundness)
    body = _body(scene, ellipse, rng.uniform(*family.wobble))
    wall = rng.uniform(*family.wall_mm)
    scene.brighten(_step(body.inside_mm + wall) * _step(-body.inside_mm), rng.uniform(*family.wall_echo_db))
    scene.paint(_step(body.inside_mm), rng.uniform(*family.machine.fluid_echo_db))
    below = np.cumsum(_step(body.inside_mm), axis=0) * scene.spacing.row
    scene.paint((body.inside_mm < -wall).astype(np.float32), scene.echo + np.minimum(below * 0.12, 6.0))
    _content(scene, body, str(rng.choice(family.content)))
    return scene.picture()


def _scene(machine: PhantomFamily, seed: int) -> _Scene:
    rng = np.random.default_rng(seed)
    pixel = float(rng.uniform(0.08, 0.25))
    spacing = PixelSpacingMm(pixel, pixel)
    return _Scene(rng, machine, spacing, tissue(machine, rng, SHAPE, spacing), np.zeros(SHAPE, np.float32))


def _centre(scene: _Scene, stray: float) -> tuple[float, float]:
    """A place near the middle of the picture, in mm (x, y)."""
    column = SHAPE[1] * (0.5 + scene.rng.uniform(-stray, stray))
    row = SHAPE[0] * (0.52 + scene.rng.uniform(-stray, stray) / 2.0)
    return float(column * scene.spacing.column), float(row * scene.spacing.row)


def _oval(scene: _Scene, roundness: Range) -> EllipsePx:
    major_px = scene.rng.uniform(80.0, 225.0)
    major = float(major_px * scene.spacing.column)
    minor = major * float(scene.rng.uniform(*roundness))
    return to_pixels(EllipseMm(*_centre(scene, 0.10), major, minor, float(scene.rng.uniform(0, 180))), scene.spacing)


def _body(scene: _Scene, ellipse: EllipsePx, wobble: float) -> _Body:
    """The oval with a border that leaves the ellipse by waves of two to five around it."""
    rng, mm = scene.rng, scene.spacing.column
    row, column = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    turn = math.radians(ellipse.angle_deg)
    x = (column - ellipse.center_col_px) / ellipse.semi_major_px
    y = (row - ellipse.center_row_px) / ellipse.semi_major_px
    along = x * math.cos(turn) + y * math.sin(turn)
    across = -x * math.sin(turn) + y * math.cos(turn)
    angle = np.arctan2(across, along)
    waves = sum(rng.uniform(-1, 1) * np.cos(k * angle + rng.uniform(0, 2 * math.pi)) for k in range(2, 6))
    major_mm = ellipse.semi_major_px * mm
    inside = inside_distance_px(ellipse, *SHAPE) * mm + wobble * major_mm * waves
    return _Body(inside.astype(np.float32), along, across, np.degrees(angle).astype(np.float32), major_mm)


def _step(inside_mm: Map) -> Map:
    """0 outside, 1 inside, a soft edge between."""
    out: Map = np.clip(inside_mm / SOFT_EDGE_MM + 0.5, 0.0, 1.0).astype(np.float32)
    return out


def _surroundings(scene: _Scene, body: _Body) -> None:
    """Fluid around the body, on all sides or on none."""
    if scene.rng.random() < 0.7:
        rim = scene.rng.uniform(1.0, 14.0) * (1.0 + 0.5 * smooth_noise(scene.rng, SHAPE, 25.0 / scene.spacing.column))
        scene.paint(_step(body.inside_mm + rim), scene.rng.uniform(*scene.machine.fluid_echo_db))


def _wall(scene: _Scene, body: _Body, ellipse: EllipsePx, family: AbdomenFamily) -> None:
    """Liver inside, a dark layer of fat, and skin that is bright where the beam meets it squarely."""
    rng = scene.rng
    grown = min(1.0, body.semi_major_mm / GROWN_MM)
    skin, fat = grown * rng.uniform(*family.skin_mm), grown * rng.uniform(*family.fat_mm)
    facing = beam_incidence(scene.machine, ellipse, SHAPE, scene.spacing)
    texture = rng.uniform(*family.liver_echo_db) + 1.5 * smooth_noise(rng, SHAPE, 5.0 / scene.spacing.column)
    scene.paint(_step(body.inside_mm), texture)
    scene.paint(_step(body.inside_mm) * _step(fat + skin - body.inside_mm), rng.uniform(-8.0, 0.0))
    skin_echo = rng.uniform(*family.skin_echo_db) - rng.uniform(2.0, 10.0) * (1.0 - facing)
    scene.brighten(_step(body.inside_mm) * _step(skin - body.inside_mm), skin_echo)


def _disc(body: _Body, place: tuple[float, float], radius: float, squeeze: float = 1.0) -> Map:
    """0..1: an oval at `place` (distance from the centre, angle in degrees); lengths in shares of the semi-major."""
    turn = math.radians(place[1])
    x = body.along - place[0] * math.cos(turn)
    y = (body.across - place[0] * math.sin(turn)) / squeeze
    return _step(((radius - np.hypot(x, y)) * body.semi_major_mm).astype(np.float32))


def _organs(scene: _Scene, body: _Body, family: AbdomenFamily) -> None:
    """Stomach bubble, umbilical vein, great vessels; kidneys and a cord where the family has them."""
    rng = scene.rng
    dark = float(rng.uniform(*scene.machine.fluid_echo_db))
    side = rng.uniform(0.0, 360.0)
    inside = _step(body.inside_mm - 2.0)
    if rng.random() < 0.85:
        stomach = _disc(body, (rng.uniform(0.25, 0.5), side), rng.uniform(*family.stomach_share), rng.uniform(0.6, 1.0))
        scene.paint(stomach * inside, dark)
    bend = np.abs(np.hypot(body.along - 0.5, body.across - rng.uniform(-0.3, 0.3)) - rng.uniform(0.35, 0.55))
    vein = _step(((rng.uniform(0.03, 0.06) - bend) * body.semi_major_mm).astype(np.float32))
    vein = vein * (np.abs(body.turn_deg - rng.uniform(-40.0, 40.0)) < 60.0)
    scene.paint(vein.astype(np.float32) * inside, dark + 4.0)
    for offset in (-12.0, 12.0):
        scene.paint(_disc(body, (0.55, side + 140.0 + offset), rng.uniform(0.03, 0.06)) * inside, dark)
    if family.kidneys:
        for offset in (-45.0, 45.0):
            place = (rng.uniform(0.5, 0.6), side + 140.0 + offset)
            scene.paint(_disc(body, place, rng.uniform(0.16, 0.24), 0.7) * inside, rng.uniform(-6.0, 2.0))
            scene.brighten(_disc(body, place, 0.06) * inside, rng.uniform(8.0, 14.0))
    if family.cord:
        scene.paint(_disc(body, (1.0, side + 320.0), rng.uniform(0.06, 0.10)), dark)


def _skeleton(scene: _Scene, body: _Body, family: AbdomenFamily) -> None:
    """Three spots of the spine near the border, and ribs as bright pieces of arc on both sides of it."""
    rng = scene.rng
    back = rng.uniform(0.0, 360.0)
    spine = float(rng.uniform(*family.spine_echo_db))
    for distance, offset in ((0.66, 0.0), (0.80, -7.0), (0.80, 7.0)):
        scene.ossify(_disc(body, (distance, back + offset), rng.uniform(0.035, 0.06)), spine)
    grown = min(1.0, body.semi_major_mm / GROWN_MM)
    depth, thickness = grown * rng.uniform(1.5, 5.0), grown * rng.uniform(0.8, 2.2)
    ring = _step(body.inside_mm - depth) * _step(depth + thickness - body.inside_mm)
    from_back = (body.turn_deg - back + 180.0) % 360.0 - 180.0
    for side in (-1.0, 1.0):
        start, reach = rng.uniform(15.0, 35.0), rng.uniform(*family.rib_reach_deg)
        parts = int(rng.integers(family.rib_parts[0], family.rib_parts[1] + 1))
        place = (side * from_back - start) / reach
        solid = (place > 0) & (place < 1) & ((place * parts) % 1.0 < (1.0 if parts == 1 else 0.75))
        scene.ossify((ring * solid).astype(np.float32), float(rng.uniform(*family.rib_echo_db)))


def _bone(scene: _Scene, family: BoneFamily, centre_mm: tuple[float, float], length_mm: float, turn_deg: float) -> None:
    """A bar with round ends, bent a little."""
    rng, mm = scene.rng, scene.spacing.column
    row, column = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]].astype(np.float32)
    turn = math.radians(turn_deg)
    x, y = column * mm - centre_mm[0], row * mm - centre_mm[1]
    along = x * math.cos(turn) + y * math.sin(turn)
    across = -x * math.sin(turn) + y * math.cos(turn)
    half = length_mm / 2.0
    across = across + rng.uniform(*family.bend) * length_mm * (1.0 - (along / half) ** 2)
    beyond = np.maximum(np.abs(along) - half, 0.0)
    thickness = rng.uniform(*family.thickness_mm) / 2.0
    share = _step((thickness - np.hypot(beyond, across)).astype(np.float32))
    scene.ossify(share, float(rng.uniform(*family.echo_db)))


def _content(scene: _Scene, body: _Body, what: str) -> None:
    rng = scene.rng
    if what == "septum":
        line = np.abs(body.across - rng.uniform(-0.3, 0.3) - rng.uniform(-0.3, 0.3) * body.along)
        share = _step(((0.015 - line) * body.semi_major_mm).astype(np.float32)) * _step(body.inside_mm)
        scene.brighten(share, rng.uniform(4.0, 14.0))
    elif what == "small body":
        place = (rng.uniform(0.1, 0.45), rng.uniform(0.0, 360.0))
        scene.paint(_disc(body, place, rng.uniform(0.12, 0.3), rng.uniform(0.5, 1.0)), rng.uniform(2.0, 10.0))
