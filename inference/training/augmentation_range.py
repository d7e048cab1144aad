"""How far an augmented view may stray from the exam that it was drawn from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AugmentationRange:
    """Turns in degrees, shifts as a share of the grid, chances 0..1, the rest natural logarithms unless said.

    `depth_gain`: log gain between top and bottom, as a badly set time-gain compensation has. `side_fade`: chance that
    the picture fades out towards one side or both, as the lateral ends of a late head do. `reject`: highest grey level,
    as a share of full scale, that a machine's reject shows as black. `speckle`: chance of a speckle pattern of another
    grain. `sector`, `crop`: chance of another machine's field of view, a fan or a frame around most of the head.
    `text`, `calipers`: chance of burned-in lettering and of measuring crosses, anywhere, so that they mean nothing.
    """

    turn_deg: float = 25.0
    scale: float = 0.22
    aspect: float = 0.10
    shift: float = 0.07
    gamma: float = 0.45
    gain: float = 0.3
    gain_field: float = 0.3
    shadow: float = 0.25
    depth_gain: float = 0.0
    side_fade: float = 0.0
    reject: float = 0.0
    speckle: float = 0.0
    sector: float = 0.0
    crop: float = 0.0
    text: float = 0.0
    calipers: float = 0.0


PLAIN = AugmentationRange()
"""What the first shipped network saw: one hospital's machines, jittered."""

FAR = AugmentationRange(
    scale=0.32,
    aspect=0.18,
    shift=0.10,
    gamma=0.6,
    gain=0.45,
    gain_field=0.5,
    shadow=0.4,
    depth_gain=1.0,
    side_fade=0.2,
    reject=0.12,
    speckle=0.3,
    sector=0.25,
    crop=0.2,
    text=0.3,
    calipers=0.25,
)
"""Another hospital's machines: other gain, grain, field of view and overprint, all at once and each at random."""

RANGES = {"plain": PLAIN, "far": FAR}
