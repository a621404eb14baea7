import shutil
import warnings

import numpy as np
import pytest
from fake_pastis import NO_SPOT, SMALL_SPOT, SORTED, SPOT, spot_pixels

from omnifuse.data.sources.pastis import Pastis
from omnifuse.errors import InputError


def test_an_image_is_read_as_stored_whatever_its_georeference_and_may_be_missing(pastis):
    pytest.importorskip("rasterio")
    source = Pastis(pastis, ("s2", "spot"))
    for index, patch in enumerate(SORTED):
        place = source[index]
        if patch.number == NO_SPOT:
            assert "spot" not in place.series
        elif patch.number != SMALL_SPOT:
            assert np.array_equal(place.series["spot"].pixels[0], spot_pixels(patch))
            assert str(place.series["spot"].day[0].astype("datetime64[D]")) == "2019-07-01"


def test_an_image_of_another_size_is_resampled_over_the_same_ground_and_named(pastis):
    pytest.importorskip("rasterio")
    source = Pastis(pastis, ("spot",))
    assert source.notes() == [f"spot: not 1280×1280 pixels, so resampled, at 1: {SMALL_SPOT}"]
    seen = source[3].series["spot"].pixels[0].astype(float)
    assert seen.shape == (3, 1280, 1280)
    whole = spot_pixels(SORTED[0]).astype(float)  # the same ramps on full size
    assert np.abs(seen[:2] - whole[:2]).max() <= 4


def test_images_are_found_where_people_unpack_them(pastis, tmp_path):
    for place in ("DATA_SPOT", f"PASTIS_{SPOT}"):
        folder = tmp_path / place
        shutil.copytree(pastis, folder, ignore=shutil.ignore_patterns("DATA_S*"))
        (folder / place).mkdir()
        shutil.copy(pastis / "DATA_SPOT" / f"PASTIS_{SPOT}" / f"{SPOT}_10000.tif", folder / place)
        assert Pastis(folder, ("spot",)).spot_folder == folder / place
    shutil.rmtree(folder / place)
    with pytest.raises(InputError, match=r"no SPOT images.*DATA_SPOT"):
        Pastis(folder, ("spot",))


def test_a_damaged_image_is_named(pastis, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    folder = shutil.copytree(pastis, tmp_path / "PASTIS", ignore=shutil.ignore_patterns("DATA_S1*"))
    file = folder / "DATA_SPOT" / f"PASTIS_{SPOT}" / f"{SPOT}_10000.tif"
    held = file.read_bytes()
    for content in (held[: len(held) // 2], held[:100], b"", b"\0" * 500):
        file.write_bytes(content)
        with pytest.raises(InputError, match=rf"{file}: cannot be read"):
            Pastis(folder, ("spot",))[0]
    with rasterio.open(
        file, "w", driver="GTiff", count=1, height=8, width=8, dtype="uint16", crs="EPSG:2154", transform=rasterio.Affine(1, 0, 5, 0, -1, 5)
    ) as tif:
        tif.write(np.zeros((1, 8, 8), np.uint16))
    with pytest.raises(InputError, match="1 bands of uint16, 8×8 pixels, expected 3 bands of uint8"):
        Pastis(folder, ("spot",))[0]


def test_images_that_are_missing_or_of_another_size_are_listed(pastis):
    pytest.importorskip("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = list(Pastis(pastis, ("spot",)).problems())
    assert [(problem.place, problem.what.split(",")[0]) for problem in found] == [
        (str(SMALL_SPOT), "64×64 pixels"),
        (str(NO_SPOT), "no image: the sensor counts as missing at this place"),
    ]
