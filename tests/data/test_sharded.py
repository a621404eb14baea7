import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr
from fake_source import FakeSource
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from omnifuse.data import chunked
from omnifuse.data.files import Folder
from omnifuse.data.loading import evaluation_batches
from omnifuse.data.manifest import load_json
from omnifuse.data.store import Store, write_store
from omnifuse.errors import InputError


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("stores") / "archive.zarr"
    write_store(FakeSource(), path, profile="archive")
    return path


def test_an_archive_is_read_without_zarr(archive, monkeypatch):
    monkeypatch.setattr(chunked, "open_zarr", lambda *_: pytest.fail("read through zarr"))
    store, source = Store(archive), FakeSource()
    for index in range(7):
        place, expected = store[index], source[index]
        assert np.array_equal(place.target, expected.target)
        for name, series in expected.series.items():
            assert place.series[name].pixels.tobytes() == series.pixels.tobytes()
        store.check(index)
    place = store.read(3, dates={"optical": np.array([0, 2, 3]), "weather": np.array([2])})
    assert np.array_equal(place.series["optical"].pixels, source[3].series["optical"].pixels[[0, 2, 3]])
    assert np.array_equal(place.series["weather"].pixels, source[3].series["weather"].pixels[2:])
    places = [batch.place.tolist() for batch in evaluation_batches(store, np.arange(7), 3, workers=2)]  # forked after decoding here
    assert places == [[0, 1, 2], [3, 4, 5], [6]]


@pytest.mark.parametrize("codec", ["blosc", "zstd", "none"])
def test_shards_of_others_are_read(tmp_path, codec):
    values = np.random.default_rng(0).integers(0, 50, (2, 5, 3, 70, 50)).astype(np.int16)
    values[1, 2:4] = 0  # a chunk of zeros is not stored
    compressor = {"blosc": [BloscCodec(cname="zstd")], "zstd": [ZstdCodec(level=3)], "none": []}[codec]
    array = zarr.create_array(
        tmp_path / "a",
        shape=values.shape,
        dtype=values.dtype,
        shards=(1, 6, 3, 96, 64),
        chunks=(1, 2, 3, 32, 32),
        compressors=[*compressor, Crc32cCodec()],
        chunk_key_encoding={"name": "default", "separator": "."},
    )
    array[...] = values
    read = chunked.ChunkedArray(Folder(tmp_path), "a", load_json(tmp_path / "a" / "zarr.json"))
    assert read.sharding is not None
    for index in range(2):
        assert np.array_equal(read.read(index, None), values[index])
        assert np.array_equal(read.read(index, 3), values[index, :3])
        assert np.array_equal(read.read(index, 5, np.array([0, 1, 4])), values[index, [0, 1, 4]])
        assert np.array_equal(read.read(index, 5, np.array([3])), values[index, [3]])


def test_damage_to_an_archive_is_found(archive, tmp_path):
    store = Path(shutil.copytree(archive, tmp_path / "copy.zarr"))
    opened, rng = Store(store), np.random.default_rng(0)
    files = [
        file for name in ("optical/pixels", "fine/pixels", "weather/pixels", "target/labels") for file in (store / name).glob("c.[0-3].*")
    ]
    assert len(files) == 15
    for file in files:
        index, held = int(file.name.split(".")[1]), file.read_bytes()
        wrong = [b"", held[:10], held[: len(held) // 2], held[:-1], held[1:]]
        for position in [0, len(held) - 1, *rng.integers(0, len(held), 3)]:
            wrong.append(bytearray(held))
            wrong[-1][position] ^= 1 << int(rng.integers(8))
        for raw in wrong:
            file.write_bytes(raw)
            with pytest.raises(InputError, match=str(file)):
                opened[index]
        file.unlink()
        with pytest.raises(InputError, match=str(file)):
            opened[index]
        file.write_bytes(held)
        opened[index]
