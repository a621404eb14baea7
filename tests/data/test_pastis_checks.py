import json

import numpy as np
import pytest
from fake_pastis import PATCHES, RADAR, pixels

from omnifuse.data.sources import pastis_checks, pastis_layout
from omnifuse.data.sources.pastis import Pastis
from omnifuse.errors import InputError


def test_a_sound_folder_has_no_problems(small_pastis):
    assert list(Pastis(small_pastis, RADAR).problems()) == []


def test_a_missing_file_is_named(small_pastis):
    file = small_pastis / "DATA_S2" / "S2_10001.npy"
    file.unlink()
    with pytest.raises(InputError, match=rf"{file}: no such file"):
        Pastis(small_pastis)[1]
    file = small_pastis / "DATA_S1D" / "S1D_30000.npy"
    file.unlink()
    with pytest.raises(InputError, match=rf"{file}: no such file"):
        Pastis(small_pastis, RADAR)[3]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("S2", pixels(PATCHES[0], "S2", 16).astype(np.float32), "values are float32, expected int16"),
        ("S2", pixels(PATCHES[0], "S2", 16)[:, :9], r"shape \(12, 9, 16, 16\), expected \(any, 10, 16, 16\)"),
        ("S2", pixels(PATCHES[0], "S2", 16)[:-1], "11 frames, but `dates-S2` in metadata.geojson has 12 dates"),
        ("S2", pixels(PATCHES[0], "S2", 16)[..., :8], "shape"),
        ("S1A", pixels(PATCHES[0], "S1A", 16).astype(np.float32), "values are float32, expected float16"),
        ("S1A", np.where(np.arange(14)[:, None, None, None] == 3, np.float16("nan"), pixels(PATCHES[0], "S1A", 16)), "first in frame 3"),
    ],
)
def test_a_series_that_is_not_as_published_is_named_when_read_and_when_checked(small_pastis, name, values, message):
    file = small_pastis / f"DATA_{name}" / f"{name}_10000.npy"
    np.save(file, values)
    source = Pastis(small_pastis, ("s2", "s1_asc"))
    with pytest.raises(InputError, match=rf"{file}: .*{message}"):
        source[0]
    found = [problem for problem in source.problems() if problem.place == "10000"]
    assert len(found) == 1 and found[0].file == str(file) and found[0].remedy


@pytest.mark.parametrize("part", ["DATA_S2/S2", "ANNOTATIONS/TARGET"])
def test_a_truncated_file_is_named_when_read_and_by_its_header_when_checked(small_pastis, part):
    file = small_pastis / f"{part}_20000.npy"
    file.write_bytes(file.read_bytes()[:-1])
    source = Pastis(small_pastis)
    with pytest.raises(InputError, match=rf"{file}: cut short"):
        source[2]
    assert [(problem.file, problem.place) for problem in source.problems(values=False)] == [(str(file), "20000")]


def test_labels_beyond_void_are_an_error(small_pastis):
    file = small_pastis / "ANNOTATIONS" / "TARGET_10000.npy"
    values = np.load(file)
    values[0, 3, 4] = 20
    np.save(file, values)
    with pytest.raises(InputError, match=rf"{file}: labels \[20\], expected 0 to 19"):
        Pastis(small_pastis)[0]
    values[0, 3, 4], values[1:] = 0, 200  # the other channels are not labels
    np.save(file, values)
    assert Pastis(small_pastis)[0].target.max() <= 19
    np.save(file, values[0])
    with pytest.raises(InputError, match=r"shape \(16, 16\), expected \(3, 16, 16\): class, parcel"):
        Pastis(small_pastis)[0]


def test_radar_that_is_not_dB_or_whose_third_band_is_a_quotient_is_found(small_pastis):  # noqa: N802 the unit
    file = small_pastis / "DATA_S1A" / "S1A_10000.npy"
    values = np.load(file)
    held = values.copy()
    values[:, 2] = held[:, 0] / held[:, 1]
    np.save(file, values)
    (found,) = Pastis(small_pastis, RADAR).problems()
    assert "differs from VV-VH" in found.what and found.file == str(file)
    values = (10 ** (held.astype(np.float32) / 10) * 1000).astype(np.float16)
    values[:, 2] = values[:, 0] - values[:, 1]
    np.save(file, values)
    assert any("is this dB?" in problem.what for problem in Pastis(small_pastis, RADAR).problems())
    assert list(Pastis(small_pastis, RADAR).problems(values=False)) == []


def test_statistics_that_are_the_same_in_all_folds_are_found(small_pastis):
    file = small_pastis / "NORM_S2_patch.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(dict.fromkeys(whole, whole["Fold_1"])), encoding="utf-8")
    (found,) = Pastis(small_pastis).problems()
    assert found.file == str(file) and "the same" in found.what
    file.write_text(json.dumps({"Fold_1": whole["Fold_1"]}), encoding="utf-8")
    (found,) = Pastis(small_pastis).problems()
    assert "no statistics of folds [2, 3, 4, 5]" in found.what
    with pytest.raises(InputError, match=rf"{file}: no fold 2"):
        Pastis(small_pastis).published_statistics()
    file.unlink()
    (found,) = Pastis(small_pastis).problems()
    assert found.file == str(file) and "no such file" in found.what


def test_published_counts_are_held_against_a_set_of_full_size(small_pastis, monkeypatch):
    monkeypatch.setattr(pastis_checks, "PUBLISHED", pastis_layout.PUBLISHED)
    monkeypatch.setattr(pastis_checks, "PLACES", 5)
    monkeypatch.setattr(pastis_checks, "FOLDS", {4: 1, 5: 2})
    monkeypatch.setattr(pastis_checks, "TILES", {"t30uxv": 2, "t31tfj": 1, "t32ulu": 3})
    what = [problem.what for problem in Pastis(small_pastis).problems()]
    assert what == ["fold 5 has 1 patches, published are 2", "tile t32ulu has 1 patches, published are 3"]
