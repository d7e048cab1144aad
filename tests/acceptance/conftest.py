"""The peers of these tests are killed and cut off on purpose; what the toolkit says about that is not news."""

from __future__ import annotations

import logging

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
