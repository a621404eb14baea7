"""Tables of place embeddings: every place's own vector, where and when it was seen, the same bytes however the run went."""

import json
from datetime import date, timedelta

import numpy as np
import pytest
from few_places import FIRST_DAY, FewPlaces, vectors_of
from small_models import contrast, fusion_model

from omnifuse import zoo
from omnifuse.errors import ConfigError, InputError
from omnifuse.inference import embed_places as module
from omnifuse.inference.embed_places import PlacesOptions, embed_places
from omnifuse.inference.embedding_reader import open_table
from omnifuse.inference.footprint import place_outlines, wkb

parquet = pytest.importorskip("pyarrow.parquet")
OPTIONS = PlacesOptions(device="cpu", batch_size=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models") / "small"
    zoo.save_model(made, fusion_model(), {})
    return made


@pytest.fixture(autouse=True)
def _small_units(monkeypatch):
    monkeypatch.setattr(module, "_UNIT", 8)


def embedded(folder, out, source=None, options=OPTIONS, **rest):
    return embed_places(str(folder), source or FewPlaces(), out, options, identity="few", **rest)


def test_every_row_is_the_place_s_own_vector_with_where_and_when(folder, tmp_path):
    table = embedded(folder, tmp_path / "e.parquet")
    rows = parquet.read_table(table.path).to_pylist()
    sensors, source = ("s2", "s1_asc", "spot"), FewPlaces()
    known = vectors_of(zoo.load(folder), source, sensors)
    assert [row["id"] for row in rows] == list(known) and len(rows) == 18
    for row in rows:
        np.testing.assert_allclose(row["embedding"], known[row["id"]], atol=2e-5)
        index = int(row["id"][1:])
        assert row["sensors"] == [name for name in sensors if name != "s2" or index % 3 != 2]
        assert row["first_date"] == date(1970, 1, 1) + timedelta(FIRST_DAY + index)
        assert row["last_date"] == row["first_date"] + timedelta(10 * (index % 3))
        assert row["source"] == "noise" and row["model"] == f"small@{zoo.load(folder).config.weights.sha256}"
    outlines = place_outlines(source.info, source.size)
    assert [row["geometry"] for row in rows] == [
        None if outlines[int(row["id"][1:])] is None else wkb(outlines[int(row["id"][1:])]) for row in rows
    ]
    assert rows[-1]["geometry"] is None and rows[-1]["bbox"] is None and rows[-1]["id"] == "p019"
    assert (table.written.rows, table.written.missing, table.written.nowhere) == (18, 2, 1)


def test_the_file_says_what_geoparquet_and_a_reader_need(folder, tmp_path):
    table = embedded(folder, tmp_path / "e.parquet")
    metadata = parquet.ParquetFile(table.path).metadata.metadata
    geo = json.loads(metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "geometry"
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB" and column["geometry_types"] == ["Polygon"] and "crs" not in column
    boxes = [row for row in parquet.read_table(table.path, columns=["bbox"])["bbox"].to_pylist() if row]
    assert column["bbox"] == [
        pick(box[edge] for box in boxes) for pick, edge in ((min, "xmin"), (min, "ymin"), (max, "xmax"), (max, "ymax"))
    ]
    assert column["covering"]["bbox"]["xmax"] == ["bbox", "xmax"]
    about = open_table(table.path).about
    assert (about["emb:type"], about["emb:dimensions"], about["data_type"], about["gsd"]) == ("chip", 16, "float32", 160.0)
    assert about["sensors"] == ["s2", "s1_asc", "spot"] and about["model"] == "small"


def test_bytes_and_halves_are_as_near_as_they_say(folder, tmp_path):
    exact, half, eight = (
        embedded(folder, tmp_path / f"{dtype}.parquet", options=PlacesOptions(device="cpu", batch_size=3, dtype=dtype))
        for dtype in ("float32", "float16", "int8")
    )
    true = np.concatenate([vectors for _, vectors, _ in open_table(exact.path).pieces()])
    (_, near, _), (_, coarse, _) = next(open_table(half.path).pieces()), next(open_table(eight.path).pieces())
    assert abs(near - true).max() <= abs(true).max() * 2**-11
    steps = np.array(open_table(eight.path).steps)
    assert (abs(coarse - true) <= steps / 2 * (1 + 1e-5)).all() and np.allclose(abs(true).max(0), 127 * steps)
    stored = parquet.read_table(eight.path)["embedding"].combine_chunks().flatten()
    assert str(stored.type) == "int8" and np.abs(stored.to_numpy()).max() == 127
    assert open_table(eight.path).about["emb:quantization"]["method"] == "linear"


def test_a_stopped_run_goes_on_to_the_same_bytes(folder, tmp_path, monkeypatch):
    whole = embedded(folder, tmp_path / "whole.parquet").path.read_bytes()
    out = tmp_path / "e.parquet"
    job, done = module.EmbedPlaces.__call__, []

    def stops(self, unit):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(unit)
        job(self, unit)

    monkeypatch.setattr(module.EmbedPlaces, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        embedded(folder, out)
    assert not out.exists() and (tmp_path / "e.parquet.work").is_dir()
    with pytest.raises(InputError, match=r"differs in options.*Try"):
        embedded(folder, out, options=PlacesOptions(device="cpu", batch_size=4))
    left = []
    monkeypatch.setattr(module.EmbedPlaces, "__call__", lambda self, unit: (left.append(unit), job(self, unit))[1])
    embedded(folder, out)
    assert len(left) == 1 and out.read_bytes() == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.parquet", "whole.parquet"]


def test_an_earlier_table_is_kept_unless_said_otherwise(folder, tmp_path):
    out = tmp_path / "e.parquet"
    embedded(folder, out)
    with pytest.raises(InputError, match=r"exists. Try: --overwrite"):
        embedded(folder, out)
    embedded(folder, out, sensors=("spot",), overwrite=True)
    assert parquet.read_table(out)["sensors"].to_pylist()[0] == ["spot"]


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(folder, tmp_path):
    one, two = (embedded(folder, tmp_path / f"{i}.parquet", executor=kind) for i, kind in enumerate(("local", "processes=2")))
    assert one.path.read_bytes() == two.path.read_bytes()


def test_a_pretrained_model_embeds_and_undated_places_have_no_dates(tmp_path):
    zoo.save_pretrained(tmp_path / "model", contrast(), {})
    table = embedded(tmp_path / "model", tmp_path / "e.parquet", sensors=("spot",), options=PlacesOptions(device="cpu", normalize=True))
    assert table.written.first is None and table.written.vectors.dimensions == 8
    assert parquet.read_table(table.path)["first_date"].null_count == 18
    _, vectors, _ = next(open_table(table.path).pieces())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_what_does_not_fit_is_said(folder, tmp_path):
    out = tmp_path / "e.parquet"
    with pytest.raises(InputError, match=r"s1_desc is not in both. Try: s2, s1_asc, spot"):
        embedded(folder, out, sensors=("s1_desc",))
    with pytest.raises(InputError, match=r"no folder"):
        embedded(folder, tmp_path / "none" / "e.parquet")
    with pytest.raises(ConfigError, match=r"batch_size"):
        PlacesOptions(batch_size=0)

    class Finer(FewPlaces):
        @property
        def modalities(self):
            from dataclasses import replace

            return {name: replace(one, gsd=5.0) for name, one in super().modalities.items()}

    with pytest.raises(InputError, match=r"`gsd` of 's2' is 5.0, the model was trained with 10.0"):
        embedded(folder, out, Finer())

    class Empty(FewPlaces):
        def __getitem__(self, index):
            return super().__getitem__(6)

    with pytest.raises(InputError, match=r"no place has an image of s2, s1_asc, spot"):
        embedded(folder, out, Empty())
