from pathlib import Path

import numpy as np
import pytest
from fake_source import MODALITIES, FakeSource

import omnifuse.data
from omnifuse.data.store import write_store


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "s.zarr"
    write_store(FakeSource(), path)
    return path


def test_values_are_found_by_the_names_of_places_and_bands_and_by_metres(path):
    tree, source = omnifuse.data.open(path), FakeSource()
    optical = tree["optical"]
    found = optical.pixels.sel(place="place-3", band="B1")[:4]
    assert np.array_equal(found, source[3].series["optical"].pixels[:, 1])
    north_west = optical.pixels.sel(place="place-3", band="B1").sel(y=35.0, x=-35.0)[:4]
    assert np.array_equal(north_west, source[3].series["optical"].pixels[:, 1, 0, 0])
    assert tree["radar"].x.values.tolist() == [-55 + 10 * i for i in range(12)]  # its 20 m of context lie outside the place
    assert np.array_equal(tree["target"].labels.sel(place="place-2"), source[2].target)
    assert tree["place"].region.sel(place="place-1").item() == source.info[1]["region"]
    assert tree["place"].fold.sel(place="place-1").item() == source.info[1]["fold"]
    assert tree["weather"].sizes["x"] == 1


def test_what_follows_the_last_image_has_no_date(path):
    optical = omnifuse.data.open(path)["optical"]
    known = optical.time.notnull()
    assert known.sum("time").values.tolist() == optical["count"].values.tolist()
    masked = optical.pixels.astype(np.float32).where(known)
    expected = [FakeSource()[i].series["optical"].pixels.mean(dtype=np.float64) if i % 5 != 4 else np.nan for i in range(7)]
    assert np.allclose(masked.mean(("time", "band", "y", "x")), expected, rtol=1e-6, equal_nan=True)


def test_it_can_be_drawn(path):
    import matplotlib.pyplot as plt

    image = omnifuse.data.open(path)["optical"].pixels.sel(place="place-3", band="B0").isel(time=0).plot.imshow()
    assert image.get_array().shape == (8, 8)
    plt.close("all")


def test_dask_computes_in_pieces_of_a_place(path):
    pytest.importorskip("dask")
    optical = omnifuse.data.open(path, chunks={})["optical"]
    assert optical.pixels.chunksizes["place"] == (1,) * 7
    with_dask, plain = optical.pixels.max("place").compute(scheduler="synchronous"), omnifuse.data.open(path)["optical"].pixels.max("place")
    assert np.array_equal(with_dask, plain)
    assert MODALITIES["optical"].gsd == optical.attrs["gsd"]
