"""The pictures of pydicom and pydicom-data, in grey."""

from itertools import islice

import numpy as np

from dicom_node.sample_pictures import SMALLEST_PX, grey, sample_pictures


def test_grey_runs_from_nearly_the_least_to_nearly_the_greatest() -> None:
    values = np.linspace(-1000.0, 3000.0, 10_000).reshape(100, 100)
    out = grey(values)
    assert (out.min(), out.max()) == (0, 255)
    assert np.all(np.diff(out.ravel().astype(int)) >= 0)
    assert grey(np.full((60, 60), 7.0)).dtype == np.uint8


def test_pictures_come_with_their_package_and_are_large_enough() -> None:
    found = list(islice(sample_pictures(), 3))
    assert {package for package, _, _ in found} == {"pydicom"}
    assert len({name for _, name, _ in found}) == 3
    assert all(picture.dtype == np.uint8 and min(picture.shape) >= SMALLEST_PX for _, _, picture in found)
