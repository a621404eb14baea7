"""Search agrees with a loop over all rows, whatever the pieces; ties go by id; an index finds what the loop finds."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omnifuse.errors import ConfigError, InputError
from omnifuse.inference.embedding_reader import open_table
from omnifuse.inference.footprint import bbox, outline_around
from omnifuse.inference.quantize import NO_DATA, from_int8, steps_of, to_int8
from omnifuse.inference.search import most_similar, row_at, vectors_of

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

NUMBER, DIM = 500, 12


def vectors(seed=0, number=NUMBER):
    found = np.random.default_rng(seed).standard_normal((number, DIM)).astype(np.float32)
    found[40:60] = found[30]  # equal vectors, far apart in length of ids
    found[77] = 0
    return found


def write(path, values, ids, **columns):
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
    parquet.write_table(pa.table({"id": ids, **columns, "embedding": rows}), path, row_group_size=64)
    return open_table(path)


@pytest.fixture(scope="module")
def ids():
    return [f"place {i}" for i in np.random.default_rng(1).permutation(NUMBER).tolist()]


@pytest.fixture(scope="module")
def table(tmp_path_factory, ids):
    return write(tmp_path_factory.mktemp("table") / "e.parquet", vectors(), ids)


def loop(values, ids, query, k, exclude=()):
    """Look at every row, one after the other."""
    found = []
    for row, (vector, name) in enumerate(zip(values.astype(np.float64), ids, strict=True)):
        if name not in exclude:
            length = np.sqrt(sum(x * x for x in vector)) * np.sqrt(sum(x * x for x in query))
            score = sum(x * y for x, y in zip(vector, query, strict=True)) / length if length else 0.0
            found.append((-float(np.float32(score)), name, row))
    return [(row, name) for _, name, row in sorted(found)[:k]]


@pytest.mark.parametrize("rows", [7, 64, 1000])
@pytest.mark.parametrize("query", [0, 30, 499])
def test_exact_search_is_the_loop_whatever_the_pieces(table, ids, rows, query):
    values = vectors()
    found = most_similar(table, torch.from_numpy(values[query]), 25, (ids[query],), rows=rows)
    assert [(hit.row, hit.id) for hit in found] == loop(values, ids, values[query].astype(np.float64), 25, {ids[query]})
    assert all(a.score >= b.score for a, b in pairwise(found))


def test_equal_scores_go_by_id_and_rows_in_another_order_give_the_same_ids(table, ids, tmp_path):
    values = vectors()
    same = sorted([ids[30], *ids[40:60]])
    assert [hit.id for hit in most_similar(table, torch.from_numpy(values[30]), 9, rows=50)] == same[:9]
    turned = write(tmp_path / "turned.parquet", values[::-1].copy(), ids[::-1])
    one, other = (most_similar(each, torch.from_numpy(values[3]), 100, rows=33) for each in (table, turned))
    assert [(hit.id, hit.score) for hit in one] == [(hit.id, hit.score) for hit in other]


def test_itself_comes_first_and_can_be_left_out(table, ids):
    query = torch.from_numpy(vectors()[5])
    first, *rest = most_similar(table, 3 * query, 4)
    assert first.id == ids[5] and first.score == pytest.approx(1, abs=1e-6)
    assert most_similar(table, query, 3, (ids[5],)) == rest
    assert len(most_similar(table, query, 10_000)) == NUMBER


def test_vectors_are_found_by_id_in_the_order_asked(table, ids):
    rows, found = vectors_of(table, [ids[444], ids[3], ids[70]])
    assert rows == [444, 3, 70]
    np.testing.assert_array_equal(found.numpy(), vectors()[[444, 3, 70]])
    with pytest.raises(InputError, match=r"no row of .* has the id 'nothing'"):
        vectors_of(table, ["nothing"])


@pytest.mark.parametrize("group", [4096, 1 << 20])
def test_a_table_is_never_held_whole(tmp_path, group):
    number, dim, path = 120_000, 32, tmp_path / "large.parquet"
    values = np.random.default_rng(0).standard_normal((number, dim), np.float32)  # random, so that nothing gets smaller on the disk
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), dim)
    parquet.write_table(pa.table({"embedding": rows}), path, row_group_size=group, use_dictionary=False)
    del rows
    table, before = open_table(path), pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in table.pieces(4096)]
    assert max(held) < path.stat().st_size / 3  # some pages and a piece, however large the table is
    wanted = [number - 1, 0, 70_000, 5, 5]
    np.testing.assert_array_equal(table.take(wanted)[0], values[wanted])


@pytest.mark.parametrize("flat", [10_000, 10])
def test_an_index_finds_what_the_loop_finds(table, ids, flat):
    pytest.importorskip("faiss")
    from omnifuse.inference.search_index import most_similar_by_index

    values = vectors()
    for row in (0, 30, 250):
        expected = most_similar(table, torch.from_numpy(values[row]), 8, (ids[row],))
        found = most_similar_by_index(table, torch.from_numpy(values[row]), 8, (ids[row],), probes=1000, flat=flat)
        assert [hit.id for hit in found] == [hit.id for hit in expected] or row == 30  # 30 has more equals than there are candidates
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)


def test_an_index_is_kept_and_made_anew_when_the_table_changes(ids, tmp_path):
    pytest.importorskip("faiss")
    from omnifuse.inference.search_index import most_similar_by_index

    values = vectors()
    table = write(tmp_path / "e.parquet", values, ids)
    most_similar_by_index(table, torch.from_numpy(values[0]), 3)
    index = tmp_path / "e.parquet.faiss"
    before = index.stat().st_mtime_ns
    most_similar_by_index(table, torch.from_numpy(values[1]), 3)
    assert index.stat().st_mtime_ns == before
    other = vectors(seed=9)
    table = write(tmp_path / "e.parquet", other, ids)
    assert most_similar_by_index(table, torch.from_numpy(other[8]), 1)[0].id == ids[8]
    assert index.stat().st_mtime_ns != before


def test_a_missing_faiss_is_said(table, monkeypatch):
    import sys

    from omnifuse.inference.search_index import most_similar_by_index

    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"pip install 'omnifuse\[search\]'"):
        most_similar_by_index(table, torch.ones(DIM), 3)


def test_a_point_is_in_the_place_that_holds_it(tmp_path):
    middles = [(3.0, 46.0), (3.01, 46.0), (179.999, -17.0), (10.0, 60.0)]
    boxes = [dict(zip(("xmin", "ymin", "xmax", "ymax"), bbox(outline_around(*m, 1000.0)), strict=True)) for m in middles]
    box = pa.array([*boxes, None], pa.struct([(edge, pa.float64()) for edge in ("xmin", "ymin", "xmax", "ymax")]))
    table = write(tmp_path / "e.parquet", vectors(number=100)[:5], list("abcde"), bbox=box)
    assert row_at(table, 3.001, 46.001) == (0, "a")
    assert row_at(table, 3.0061, 46.0) == (1, "b")  # within both: nearer to the middle of this one
    assert row_at(table, 179.998, -17.0) == row_at(table, -179.998, -17.0) == (2, "c")
    with pytest.raises(InputError, match=r"no place .* at 10.1 60; the nearest is 5.56 km off. Try: --like d"):
        row_at(table, 10.1, 60.0)


def test_tables_of_others_are_read_and_what_is_none_is_said(tmp_path):
    values = vectors()[:6]
    path = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"name": list("uvwxyz"), "embeddings": values.astype(np.float64).tolist()}), path)
    table = open_table(path)
    assert (table.rows, table.dimensions, table.column, table.about) == (6, DIM, "embeddings", {})
    assert most_similar(table, torch.from_numpy(values[2]), 1)[0].id == "2"
    for columns, message in (
        ({"embedding": [[1.0, 2.0], None, [3.0, 4.0]]}, "row 1 of `embedding` is no vector of 2"),
        ({"embedding": [[1.0, 2.0], [3.0]]}, "row 1 of `embedding` is no vector of 2"),
        ({"embedding": [[1.0, 2.0], [3.0, float("nan")]]}, "row 1 of `embedding` has a value that is not finite"),
        ({"embedding": [[1, 2], [3, 4]]}, "whole numbers without their scale"),
        ({"id": ["a"]}, "no column of vectors"),
        ({"mine": [[1.0, 2.0]]}, "Try: --column mine"),
        ({"embedding": pa.array([], pa.list_(pa.float32()))}, "has no rows"),
    ):
        parquet.write_table(pa.table(columns), path)
        with pytest.raises(InputError, match=message):
            list(open_table(path).pieces())
    path.write_bytes(b"PAR1 is not enough")
    with pytest.raises(InputError, match="not a Parquet file"):
        open_table(path)


def test_a_query_that_cannot_be_compared_is_said(table):
    for query, message in (
        (torch.ones(3), "has 3 numbers"),
        (torch.zeros(DIM), "zero or not finite"),
        (torch.full((DIM,), torch.nan), "not finite"),
    ):
        with pytest.raises(InputError, match=message):
            most_similar(table, query, 3)
    with pytest.raises(ConfigError, match="-k 10"):
        most_similar(table, torch.ones(DIM), 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=3, max_size=3), st.integers(0, 2**31))
def test_a_byte_is_at_most_half_a_step_off(largest, seed):
    top = np.abs(np.array(largest, np.float32))
    values = (np.random.default_rng(seed).uniform(-1, 1, (50, 3)) * top).astype(np.float32)
    values[0], values[1] = top, -top
    steps = steps_of(np.abs(values).max(0))
    error = np.abs(from_int8(to_int8(values, steps), steps).astype(np.float64) - values)
    assert (error <= steps.astype(np.float64) / 2 * (1 + 1e-4) + np.finfo(np.float32).tiny).all()


def test_no_data_stays_no_data():
    stored = np.array([[NO_DATA, 127], [-127, 0]], np.int8)
    found = from_int8(stored, np.array([2.0, 0.5], np.float32))
    assert np.isnan(found[0, 0]) and found[0, 1] == 63.5 and found[1, 0] == -254


def test_the_command_tells_and_writes_what_it_finds(table, ids, tmp_path, capsys):
    from omnifuse.cli import main

    out = tmp_path / "hits.geojson"
    assert main(["search", str(table.path), "--like", ids[30], "-k", "3", "--out", str(out)]) == 0
    assert "1.0000" in capsys.readouterr().out
    features = json.loads(out.read_text())["features"]
    assert [one["properties"]["rank"] for one in features] == [1, 2, 3] and features[0]["geometry"] is None
    assert features[0]["id"] == sorted(ids[40:60])[0]
    np.save(tmp_path / "v.npy", vectors()[5])
    assert main(["search", str(table.path), "--vector", str(tmp_path / "v.npy"), "-k", "1", "--out", str(tmp_path / "hits.csv")]) == 0
    assert (tmp_path / "hits.csv").read_text().splitlines()[1].startswith(f"1,{ids[5]},1.000000")
    (tmp_path / "v.json").write_text('{"a": 1}')
    for flags, message in (
        (["--like", "a", "--at", "3", "46"], "one of `--like ID`"),
        ([], "one of `--like ID`"),
        (["--at", "3"], "one of"),
        (["--vector", str(tmp_path / "v.json")], "no vector"),
        (["--like", ids[0], "--out", "hits.xlsx"], "neither GeoJSON nor CSV"),
        (["--at", "3", "46"], "no column `bbox`"),
    ):
        assert main(["search", str(table.path), *flags]) > 1
        assert message in capsys.readouterr().err
