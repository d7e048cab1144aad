"""A page of Chromium with the viewer or the console in it, asked from Python; browse.mjs does what is asked.

Playwright's own library for Node drives it: the viewer comes from npm anyway, so that one lock file pins both, and
no Python package is needed besides.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Seen = TypeVar("Seen")

HERE = Path(__file__).parent
PATIENCE_S = 90.0
PDF = 'object[type="application/pdf"]'
PANE = '[data-cy="viewport-pane"]'
CORNER = '[data-cy="viewport-overlay-top-left"]'


@dataclass(frozen=True)
class View:
    """The viewport: where it lies in the page (x, y, width, height), and what lies over the picture.

    `outlines`: [points, 2] each, as (x, y) in the viewport; `corners`: "top-left" and so on; `text`: all of it.
    """

    box: tuple[float, float, float, float]
    corners: dict[str, str]
    labels: tuple[str, ...]
    outlines: tuple[NDArray[np.float64], ...]
    text: str

    def to_view(self, points_px: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float64]:
        """Where pixels of a picture of `shape` (rows, columns) lie in a viewport that it fills: [n, 2] to [n, 2].

        Points are (column, row) with (0, 0) in the middle of the first pixel.
        """
        size = np.array(self.box[2:])
        pixels = np.array(shape[::-1])
        scale = (size / pixels).min()
        return np.asarray(size / 2 + (points_px - (pixels - 1) / 2) * scale, np.float64)


@dataclass(frozen=True)
class Browser:
    """`pictures`: the folder that keeps what was seen, for people."""

    process: subprocess.Popen[str]
    pictures: Path

    def open(self, url: str, series: int) -> list[str]:
        """Open the viewer; the descriptions of the series that it lists, once there are so many."""
        listed: list[str] = self._ask("open", url=url, count=series)
        return listed

    def show(self, series: str, sign: str, text: str = "") -> None:
        """Put a series into the viewport and wait for an element of it, with `text` inside."""
        self._ask("show", series=series, sign=sign, text=text)

    def press(self, key: str) -> None:
        self._ask("press", key=key)

    def read(self) -> View:
        found = self._ask("read")
        outlines = tuple(np.reshape(points, (-1, 2)) for points in found["outlines"])
        return View(tuple(found["box"]), found["corners"], tuple(found["labels"]), outlines, found["text"])

    def document(self) -> bytes:
        """The PDF in the viewport."""
        return base64.b64decode(self._ask("document"))

    def picture(self, name: str) -> NDArray[np.uint8]:
        """The viewport as it is seen, RGB uint8 [rows, columns, 3]; the whole page is kept under `name`."""
        path = self.pictures / f"{name}.png"
        self._ask("picture", path=str(path))
        x, y, width, height = (round(edge) for edge in self.read().box)
        return np.asarray(Image.open(path).convert("RGB"))[y : y + height, x : x + width]

    def visit(self, url: str) -> None:
        self._ask("visit", url=url)

    def fill(self, label: str, text: str, region: str = "") -> None:
        """`region`: the heading of the part of the page where the field of this label is."""
        self._ask("fill", region=region, label=label, text=text)

    def click(self, name: str, region: str = "", role: str = "button") -> None:
        self._ask("click", region=region, role=role, name=name)

    def see(self, selector: str, text: str = "") -> str:
        """All words of the element of a CSS selector with `text` inside, once there is one."""
        seen: str = self._ask("see", selector=selector, text=text)
        return seen

    def reload(self) -> None:
        self._ask("reload")

    def choose(self, label: str, option: str, region: str = "") -> None:
        self._ask("choose", region=region, label=label, option=option)

    def tick(self, label: str, region: str = "") -> None:
        self._ask("tick", region=region, label=label)

    def unfold(self, summary: str, region: str = "") -> None:
        """Open what a summary stands for."""
        self._ask("unfold", region=region, summary=summary)

    def attach(self, selector: str, path: Path) -> None:
        """Choose a file of this machine in a file field."""
        self._ask("attach", selector=selector, path=str(path))

    def count(self, selector: str) -> int:
        found: int = self._ask("count", selector=selector)
        return found

    def address(self) -> str:
        found: str = self._ask("address")
        return found

    def attribute(self, selector: str, name: str) -> str:
        found: str = self._ask("attribute", selector=selector, name=name)
        return found

    def resize(self, width: int, height: int) -> None:
        self._ask("resize", width=width, height=height)

    def colours(self, scheme: str) -> None:
        self._ask("colours", scheme=scheme)

    def overflow(self) -> list[str]:
        """What of the page sticks out of the window on the right."""
        found: list[str] = self._ask("overflow")
        return found

    def unreached(self) -> list[str]:
        """What can be used on this page and not be reached with the Tab key, or does not show it."""
        found: list[str] = self._ask("unreached")
        return found

    def keep(self, name: str, scheme: str = "light") -> None:
        """The whole page under `name`, for people, with the colours of `scheme` ("light", "dark")."""
        self._ask("colours", scheme=scheme)
        self._ask("keep", path=str(self.pictures / f"{name}-{scheme}.png"))

    def faults(self) -> list[str]:
        """What axe-core finds of serious or critical faults of accessibility: rule and place."""
        found: list[str] = self._ask("faults")
        return found

    def errors(self) -> list[str]:
        """Exceptions of the page and refused requests since it was opened."""
        found: list[str] = self._ask("errors")
        return found

    def _ask(self, verb: str, **given: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"verb": verb, **given}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the browser has gone"}')
        assert "error" not in answer, answer["error"]
        return answer["value"]


@contextmanager
def running_browser(pictures: Path) -> Iterator[Browser]:
    pictures.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium")
    assert chromium is not None
    command = ["node", str(HERE / "browse.mjs"), chromium, str(pictures)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:  # closes its input, at which it closes the browser and ends
        yield Browser(process, pictures)


def wait_for(look: Callable[[], Seen], good: Callable[[Seen], bool], what: str) -> Seen:
    """What was seen when it was good: a viewer draws when it is ready, and how fast is not what these tests are about.

    Raises:
        AssertionError: it never was; says `what`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not good(seen := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.5)
    return seen
