"""A region of the frame on paper, in the proportions of millimetres, with lines over it as vectors."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from inference.domain import Measurement, RegionPx
from inference.measure import outline_px
from sr_templates import drawing
from sr_templates.drawing import Color, Point
from sr_templates.report import Picture
from sr_templates.sheet import Box, unit

JPEG_QUALITY = 92
OUTLINE_POINTS = 180


def aspect(measurement: Measurement) -> float:
    """Width over height of the measured region in millimetres."""
    region, scale = measurement.region, measurement.spacing_mm
    return (region.columns * scale.column) / (region.rows * scale.row)


def cut(picture: Picture, region: RegionPx) -> Picture:
    """The pixels of the region, uint8 RGB [region rows, region columns, 3]."""
    return picture[region.min_row : region.max_row + 1, region.min_column : region.max_column + 1]


def jpeg(crop: Picture) -> ImageReader:
    """Quality 92 without chroma subsampling: speckle survives, and the page stays below 200 kB."""
    encoded = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(crop)).save(encoded, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    encoded.seek(0)
    return ImageReader(encoded)


def lossless(pixels: Picture) -> ImageReader:
    """The pixels as they are: for a scale of colours, whose colours are what it is for."""
    return ImageReader(Image.fromarray(np.ascontiguousarray(pixels)))


def placed(region: RegionPx, box: Box) -> Callable[[Point], Point]:
    """From source pixels (column, row) to points on the page; pixel centres lie half a pixel inside the edge."""

    def on_page(point: Point) -> Point:
        across = (point[0] - region.min_column + 0.5) / region.columns
        down = (point[1] - region.min_row + 0.5) / region.rows
        return box.left + across * box.width, box.bottom + (1.0 - down) * box.height

    return on_page


def put(canvas: Canvas, crop: Picture, box: Box) -> None:
    """The pixels into the box; what is drawn until `restoreState` is clipped to it."""
    canvas.saveState()
    clip = canvas.beginPath()
    clip.rect(box.left, box.bottom, box.width, box.height)
    canvas.clipPath(clip, stroke=0, fill=0)
    canvas.drawImage(jpeg(crop), box.left, box.bottom, box.width, box.height)


def outline(canvas: Canvas, measurement: Measurement, box: Box, width: float) -> None:
    """The ellipse of the measurement over the picture of its region."""
    on_page = placed(measurement.region, box)
    points = [on_page((float(c), float(r))) for c, r in outline_px(measurement.ellipse, OUTLINE_POINTS)]
    stroke(canvas, [*points, points[0]], drawing.OUTLINE_COLOR, (), width)


def stroke(canvas: Canvas, points: Sequence[Point], color: Color, dash: tuple[float, ...], width: float = 1.1) -> None:
    """A line in colour over a dark casing, so that it shows on bright bone."""
    path = canvas.beginPath()
    path.moveTo(*points[0])
    for point in points[1:]:
        path.lineTo(*point)
    canvas.setLineCap(0)
    canvas.setDash(*([[d * width for d in dash]] if dash else []))
    canvas.setStrokeColorRGB(0, 0, 0, alpha=0.5)
    canvas.setLineWidth(width + 1.2)
    canvas.drawPath(path, stroke=1, fill=0)
    canvas.setStrokeColorRGB(*unit(color), alpha=1)
    canvas.setLineWidth(width)
    canvas.drawPath(path, stroke=1, fill=0)
