"""Shards are read by zarr as they are, whatever the sizes, and are small."""

import math

import numpy as np
import pytest
import zarr

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.layout import write_document
from omnifuse.data.profiles import Archive
from omnifuse.data.shards import inner_chunk
from omnifuse.data.store import Store, write_store


def test_chunks_are_one_date_and_at_most_256_pixels_unless_they_are_tiny():
    int16, uint8, float32 = (np.dtype(name) for name in ("int16", "uint8", "float32"))
    assert inner_chunk((61, 10, 128, 128), int16, 64) == (1, 10, 128, 128)
    assert inner_chunk((1, 3, 1280, 1280), uint8, 1) == (1, 3, 256, 256)
    assert inner_chunk((1, 5, 512, 512), uint8, 1) == (1, 5, 256, 256)
    assert inner_chunk((1, 1, 300, 257), uint8, 1) == (1, 1, 150, 129)
    assert inner_chunk((120, 10, 6, 6), int16, 64) == (64, 10, 6, 6)
    assert inner_chunk((20, 10, 40, 40), int16, 64) == (2, 10, 40, 40)
    assert inner_chunk((128, 128), uint8, 0) == (128, 128)
    assert inner_chunk((1280, 1280), uint8, 0) == (256, 256)
    assert inner_chunk((15,), float32, 0) == (15,)


@pytest.mark.parametrize("shape", [(3, 2, 8, 8), (5, 1, 300, 257), (2, 3, 512, 512), (130, 4, 1, 1), (70, 2, 6, 6)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64"])
def test_zarr_reads_what_was_written(tmp_path, shape, dtype):
    rng, profile = np.random.default_rng(0), Archive()
    counts = [shape[0], 1, shape[0] // 2]
    places = [rng.normal(50, 20, (count, *shape[1:])).astype(dtype) for count in counts]
    write_document(tmp_path, profile.document(3, shape, np.dtype(dtype), ("time", "band", "y", "x"), {}, dates=64))
    for index, values in enumerate(places):
        file = tmp_path / f"c.{index}.0.0.0.0"
        crc, pieces = profile.write(file, values, dates=64)
        profile.finish(file, crc, pieces, shape, np.dtype(dtype), dates=64)
        held = file.read_bytes()
        profile.finish(file, crc, pieces, shape, np.dtype(dtype), dates=64)
        assert file.read_bytes() == held
    array = zarr.open_array(tmp_path, mode="r")
    for index, values in enumerate(places):
        assert np.array_equal(array[index, : len(values)], values)
        assert not array[index, len(values) :].any()


def test_every_flipped_bit_of_a_shard_is_found(tmp_path):
    profile, shape = Archive(), (4, 2, 16, 16)
    write_document(tmp_path, profile.document(1, shape, np.dtype("int16"), ("time", "band", "y", "x"), {}, dates=64))
    file = tmp_path / "c.0.0.0.0.0"
    values = np.arange(math.prod(shape), dtype=np.int16).reshape(shape)
    profile.finish(file, *profile.write(file, values, dates=64), shape, np.dtype("int16"), dates=64)
    held, rng = file.read_bytes(), np.random.default_rng(0)
    for position in [0, len(held) - 1, *rng.integers(0, len(held), 60)]:
        damaged = bytearray(held)
        damaged[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        with pytest.raises(Exception):  # noqa: B017 codecs raise errors of many types
            zarr.open_array(tmp_path, mode="r")[0]


def test_an_archive_is_three_quarters_of_the_arrays_or_less(tmp_path):
    source = Landscape(LandscapeConfig(places=2, size=64, seed=1, sensors=("s2", "s1_asc", "spot")))
    write_store(source, tmp_path / "s.zarr", profile="archive")
    native = sum(series.pixels.nbytes for place in (source[0], source[1]) for series in place.series.values())
    files = sum(file.stat().st_size for name in source.modalities for file in (tmp_path / "s.zarr" / name / "pixels").glob("c.*"))
    assert files < 0.75 * native
    store = Store(tmp_path / "s.zarr")
    for index in range(2):
        for name, series in source[index].series.items():
            assert store[index].series[name].pixels.tobytes() == series.pixels.tobytes()
