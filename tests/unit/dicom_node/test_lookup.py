"""Lookup tables as real objects carry them: plain and segmented, 8 and 16 bits, both byte orders, and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from dicom_node.decode import read_instance
from dicom_node.errors import InstanceRefused
from dicom_node.lookup import expand
from inference.domain import Reason
from tests.encoders import dcmtk, encode
from tests.ultrasound import save, us_image, us_palette

RNG = np.random.default_rng(8)
INDICES = RNG.integers(0, 256, (20, 31), dtype=np.uint8)
LUT_16 = RNG.integers(0, 65536, (256, 3), dtype=np.uint16)
LUT_8 = (LUT_16 >> 8).astype(np.uint8)
COLOURS = ("Red", "Green", "Blue")

# Each colour in its own way to the same length: 2 + 3 + 2 + 3 + 2 = 12 entries for the second
DISCRETE = [0, 12, *range(10, 130, 10)]
WITH_LINEAR = [0, 2, 5, 10, 1, 10, 110]
WITH_INDIRECT_UNITS = [0, 2, 5, 9, 1, 3, 30]  # 5 entries, 7 units
EXPANDED = {
    "discrete": list(range(10, 130, 10)),
    "linear": [5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110],
    "indirect": [5, 9, 16, 23, 30, 5, 9, 16, 23, 30, 12, 13],
}


def segments(bits: int) -> dict[str, NDArray[np.uint16]]:
    """The three tables as 16-bit words in little endian order."""
    pointer = [0, 0] if bits == 16 else [0, 0, 0, 0]
    units = {
        "discrete": DISCRETE,
        "linear": WITH_LINEAR,
        "indirect": [*WITH_INDIRECT_UNITS, 2, 2, *pointer, 0, 2, 12, 13],
    }
    if bits == 16:
        return {name: np.array(values, np.uint16) for name, values in units.items()}
    return {name: np.frombuffer(bytes(values) + b"\0" * (len(values) % 2), "<u2") for name, values in units.items()}


def palette(entries: int, bits: int, first: int = 0) -> dict[str, Any]:
    return {f"{colour}PaletteColorLookupTableDescriptor": [entries, first, bits] for colour in COLOURS}


def data(tables: Any, prefix: str = "") -> dict[str, bytes]:
    return {
        f"{prefix}{colour}PaletteColorLookupTableData": np.asarray(table).tobytes()
        for colour, table in zip(COLOURS, tables, strict=True)
    }


def display(dataset: FileDataset, folder: Path) -> Any:
    return read_instance(save(dataset, folder / "a.dcm")).display(1)


def refusal(dataset: FileDataset, folder: Path) -> str:
    with pytest.raises(InstanceRefused) as caught:
        display(dataset, folder)
    assert caught.value.reason is Reason.BAD_LOOKUP_TABLE
    return caught.value.detail


class TestPlain:
    def test_8_bit_entries_two_in_a_word(self, tmp_path: Path) -> None:
        dataset = us_palette(INDICES, LUT_16, **palette(256, 8), **data(LUT_8.T))
        np.testing.assert_array_equal(display(dataset, tmp_path), LUT_8[INDICES])

    def test_an_odd_number_of_8_bit_entries(self, tmp_path: Path) -> None:
        tables = [np.append(column, np.uint8(0)) for column in LUT_8[:101].T]
        dataset = us_palette(INDICES, LUT_16, **palette(101, 8), **data(tables))
        np.testing.assert_array_equal(display(dataset, tmp_path), LUT_8[np.minimum(INDICES, 100)])

    @pytest.mark.parametrize("shift", [0, 8], ids=["low byte", "high byte"])
    def test_8_bit_entries_in_16_bits_each(self, shift: int, tmp_path: Path) -> None:
        tables = LUT_8.T.astype("<u2") << shift
        dataset = us_palette(INDICES, LUT_16, **palette(256, 8), **data(tables))
        np.testing.assert_array_equal(display(dataset, tmp_path), LUT_8[INDICES])

    def test_8_bit_entries_under_a_descriptor_that_says_16(self, tmp_path: Path) -> None:
        dataset = us_palette(INDICES, LUT_16, **palette(256, 16), **data(LUT_8.T))
        np.testing.assert_array_equal(display(dataset, tmp_path), LUT_8[INDICES])

    def test_65536_entries_are_written_0(self, tmp_path: Path) -> None:
        lut = np.arange(65536, dtype=np.uint16)[:, None].repeat(3, axis=1)
        pixels = np.array([[0, 255, 256, 65535]] * 2, np.uint16)
        dataset = us_palette(pixels, lut, **palette(0, 16))
        assert display(dataset, tmp_path)[0, :, 0].tolist() == [0, 0, 1, 255]

    @pytest.mark.parametrize("first", [10, -20, 200])
    def test_the_first_value_mapped(self, first: int, tmp_path: Path) -> None:
        dataset = us_palette(INDICES, LUT_16, **palette(100, 16, first % 65536), **data(LUT_16[:100].T))
        for colour in COLOURS:  # negative values are written with VR SS
            dataset[f"{colour}PaletteColorLookupTableDescriptor"].VR = "SS" if first < 0 else "US"
            dataset[f"{colour}PaletteColorLookupTableDescriptor"].value = [100, first, 16]
        expected = LUT_8[:100][np.clip(INDICES.astype(int) - first, 0, 99)]
        np.testing.assert_array_equal(display(dataset, tmp_path), expected)

    @pytest.mark.peer("dcmconv")
    @pytest.mark.parametrize("bits", [8, 16])
    def test_big_endian_as_dcmtk_writes_it(self, bits: int, tmp_path: Path) -> None:
        extra = {} if bits == 16 else data(LUT_8.T)
        dataset = us_palette(INDICES, LUT_16, **palette(256, bits), **extra)
        dcmtk("dcmconv", "+tb")(dataset, tmp_path / "b.dcm")
        np.testing.assert_array_equal(read_instance(tmp_path / "b.dcm").display(1), LUT_8[INDICES])

    def test_implicit_vr(self, tmp_path: Path) -> None:
        dataset = us_palette(INDICES, LUT_16)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        np.testing.assert_array_equal(display(dataset, tmp_path), LUT_8[INDICES])

    @pytest.mark.parametrize(
        ("change", "detail"),
        [
            ({"GreenPaletteColorLookupTableDescriptor": [255, 0, 16]}, "differ"),
            ({"GreenPaletteColorLookupTableDescriptor": [256, 1, 16]}, "differ"),
            ({"BluePaletteColorLookupTableDescriptor": None}, "missing"),
            ({"BluePaletteColorLookupTableDescriptor": [256, 0]}, "three numbers"),
            ({"BluePaletteColorLookupTableData": None}, "no data"),
            ({"RedPaletteColorLookupTableData": b"\0" * 300}, "shorter"),
            (palette(256, 12), "12 bits"),
            (palette(256, 8), "more than their 8 bits"),
        ],
    )
    def test_named_refusals(self, change: dict[str, Any], detail: str, tmp_path: Path) -> None:
        assert detail in refusal(us_palette(INDICES, LUT_16, **change), tmp_path)


class TestSegmented:
    @staticmethod
    def image(bits: int) -> FileDataset:
        plain = dict.fromkeys((f"{colour}PaletteColorLookupTableData" for colour in COLOURS), None)
        tables = data([words.astype("<u2") for words in segments(bits).values()], "Segmented")
        return us_palette(INDICES % 13, LUT_16, **palette(12, bits), **plain, **tables)

    @pytest.mark.parametrize("bits", [8, 16])
    def test_discrete_linear_and_indirect_segments(self, bits: int, tmp_path: Path) -> None:
        lut = np.array(list(EXPANDED.values()), np.uint8).T
        expected = lut[np.minimum(INDICES % 13, 11)]
        np.testing.assert_array_equal(display(self.image(bits), tmp_path), expected)

    @pytest.mark.parametrize("bits", [8, 16])
    def test_big_endian(self, bits: int, tmp_path: Path) -> None:
        dataset = self.image(bits)
        little = display(dataset, tmp_path)
        np.testing.assert_array_equal(read_instance(encode(dataset, "big_endian", tmp_path)).display(1), little)

    @pytest.mark.peer("dcmconv")
    @pytest.mark.parametrize("bits", [8, 16])
    def test_big_endian_as_dcmtk_writes_it(self, bits: int, tmp_path: Path) -> None:
        dataset = self.image(bits)
        dcmtk("dcmconv", "+tb")(dataset, tmp_path / "b.dcm")
        np.testing.assert_array_equal(read_instance(tmp_path / "b.dcm").display(1), display(dataset, tmp_path))

    def test_16_bit_values_are_interpolated_before_they_are_cut_to_8(self) -> None:
        assert expand(np.array([0, 1, 0, 1, 4, 1000], np.uint16), 5, 2).tolist() == [0, 250, 500, 750, 1000]

    def test_an_indirect_segment_continues_from_the_last_value(self) -> None:
        # at byte 6 lies the linear segment to 100; repeated, it stays there
        units = np.array([0, 1, 0, 1, 2, 100, 0, 1, 50, 2, 1, 6, 0], np.uint16)
        assert expand(units, 6, 2).tolist() == [0, 50, 100, 50, 75, 100]

    @pytest.mark.parametrize(
        ("units", "detail"),
        [
            ([1, 12, 100], "begins with a linear"),
            ([2, 1, 0, 0], "points on"),
            ([0, 1, 5, 2, 1, 6, 0, 0, 9], "points on"),
            ([0, 1, 5, 2, 1, 600, 600], "break off"),
            ([0, 1, 5, 2, 0, 0, 0], "empty"),
            ([0, 0, 1, 12, 5], "empty"),
            ([0, 30, 1, 2], "break off"),
            ([0, 1, 5, 7, 3, 3], "type 7"),
            ([0, 1, 5], "break off"),
            ([0, 1, 5, 1, 65535, 9], "add up"),
            ([0, 1, 5, 1, 10, 9, 2, 65535, 6, 0], "add up"),
        ],
    )
    def test_named_refusals(self, units: list[int], detail: str) -> None:
        with pytest.raises(InstanceRefused) as caught:
            expand(np.array(units, np.uint16), 12, 2)
        assert caught.value.reason is Reason.BAD_LOOKUP_TABLE
        assert detail in caught.value.detail


class TestValuesOfInterest:
    STORED = np.array([[0, 1000, 1500, 2000, 4095]] * 2, np.uint16)

    def image(self, **attributes: Any) -> FileDataset:
        return us_image(self.STORED, BitsStored=12, HighBit=11, **attributes)

    def shown(self, folder: Path, **attributes: Any) -> list[int]:
        levels: list[int] = display(self.image(**attributes), folder)[0, :, 0].tolist()
        return levels

    @staticmethod
    def voi(entries: NDArray[Any], first: int, bits: int) -> Sequence:
        item = Dataset()
        item.LUTDescriptor = [len(entries), first, bits]
        item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
        return Sequence([item])

    def test_a_voi_lut_goes_before_the_window(self, tmp_path: Path) -> None:
        table = self.voi(np.arange(1000, 0, -1), 1000, 10)
        assert self.shown(tmp_path, VOILUTSequence=table, WindowCenter="5", WindowWidth="5") == [249, 249, 125, 0, 0]

    def test_an_8_bit_voi_lut_of_many_entries(self, tmp_path: Path) -> None:
        table = self.voi(np.arange(4096) // 16, 0, 8)
        assert self.shown(tmp_path, VOILUTSequence=table) == [0, 62, 93, 125, 255]

    def test_the_window_counts_in_the_units_of_the_modality(self, tmp_path: Path) -> None:
        window = {"WindowCenter": "1500", "WindowWidth": "1000"}
        scaled = {"WindowCenter": "650", "WindowWidth": "500", "RescaleSlope": "0.5", "RescaleIntercept": "-100"}
        shown = self.shown(tmp_path, **window)
        assert shown == [0, 0, 128, 255, 255]
        assert np.abs(np.subtract(shown, self.shown(tmp_path, **scaled))).max() <= 1

    @pytest.mark.parametrize("function", ["", "LINEAR", "LINEAR_EXACT", "SIGMOID"])
    def test_voi_lut_function(self, function: str, tmp_path: Path) -> None:
        shown = self.shown(tmp_path, WindowCenter="1500", WindowWidth="1000", VOILUTFunction=function)
        assert shown[2] == pytest.approx(128, abs=1)
        assert (shown[1] > 20) is (function == "SIGMOID")

    def test_monochrome1_is_inverted_after_the_window(self, tmp_path: Path) -> None:
        window = {"WindowCenter": "1500", "WindowWidth": "1000", "PhotometricInterpretation": "MONOCHROME1"}
        assert self.shown(tmp_path, **window) == [255, 255, 127, 0, 0]

    def test_a_rising_slope_without_a_window_changes_nothing(self, tmp_path: Path) -> None:
        assert self.shown(tmp_path, RescaleSlope="2", RescaleIntercept="7") == self.shown(tmp_path)

    @pytest.mark.parametrize(
        "change",
        [
            {"RescaleSlope": "-1", "RescaleIntercept": "4095"},
            {"RescaleSlope": "0", "RescaleIntercept": "0"},
            {"ModalityLUTSequence": Sequence([Dataset()])},
            {"VOILUTSequence": Sequence([Dataset()])},
            {"VOILUTSequence": voi(np.arange(10), 0, 7)},
            {"VOILUTSequence": voi(np.arange(2000), 0, 10)},
        ],
    )
    def test_named_refusals(self, change: dict[str, Any], tmp_path: Path) -> None:
        refusal(self.image(**change), tmp_path)
