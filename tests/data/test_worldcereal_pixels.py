"""Field points: which months stay, what a number means, and that no cell is in two folds."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.sources.worldcereal_pixels import WorldCerealPixels
from omnifuse.errors import InputError

pa = pytest.importorskip("pyarrow", reason="Parquet is read with pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata" / "worldcereal_pixels"
S2 = [f"S2-L2A-{band}" for band in ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B11", "B12")]


def write(folder: Path, **changes: list) -> None:
    """Two points in each of three cells with three months, later months first; every value tells its band and month."""
    points = [f"p{i}" for i in range(6)]
    rows = [(i, month) for i in range(6) for month in (2, 1, 0)]
    stamps = np.array(["2016-12-31T23:00", "2017-01-31T23:00", "2017-04-30T22:00"], "datetime64[ns]")
    columns = {
        "sample_id": [points[i] for i, _ in rows],
        "h3_l3_cell": ["abc"[min(i // 2, 2)] for i, _ in rows],
        "CROPTYPE_LABEL": [(1200, 1110, 1200, 1110, 0, 4100)[i] for i, _ in rows],
        "lon": [-80.0 + i for i, _ in rows],
        "lat": [45.0 for _ in rows],
        "timestamp": [stamps[month] for _, month in rows],
        "S1-SIGMA0-VV": [4467 for _ in rows],
        "S1-SIGMA0-VH": [1000 for _ in rows],
        "AGERA5-temperature-mean": [27000 + month for _, month in rows],
        "AGERA5-precipitation-flux": [9000 + month for _, month in rows],
        "DEM-alt-20m": [200.5 for _ in rows],
        "DEM-slo-20m": [1.5 for _ in rows],
    } | {name: [100 * number + month for _, month in rows] for number, name in enumerate(S2)}
    columns |= changes
    pq.write_table(pa.table(columns), folder / "x_long.parquet")
    with (folder / "croptype_legend.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "croptype"], ["Maize", 1200], ["Winter wheat", 1110], ["Soya", 4100]])


def test_values_dates_and_labels(tmp_path):
    write(tmp_path)
    source = WorldCerealPixels(tmp_path, min_points=2)
    place = pickle.loads(pickle.dumps(source))[0]  # noqa: S301  (as workers do)
    place.check(source.modalities, "point")
    s2, s1 = place.series["s2"], place.series["s1"]
    days = [(np.datetime64(text) - np.datetime64("1970-01-01")).astype(int) for text in ("2017-01-01", "2017-02-01", "2017-05-01")]
    assert s2.day.tolist() == days  # the evening before, in UTC, is the first of the month
    assert s2.pixels[2, :, 0, 0].tolist() == [100 * band + 2 for band in range(9)]
    np.testing.assert_allclose(s1.pixels[0, :, 0, 0], [-10, -23, 13], atol=1e-3)
    assert place.series["weather"].pixels[1].ravel().tolist() == [27001, 9001]
    assert place.series["dem"].pixels.ravel().tolist() == [200.5, 1.5]
    assert source.classes.names == ("Winter wheat", "Maize")
    assert [int(source[i].target[0, 0]) for i in range(6)] == [1, 0, 1, 0, 255, 255]  # unknown, and a crop of one point


def test_a_month_without_data_is_dropped_for_that_sensor_alone(tmp_path):
    gap = [65535 if row == 0 else 500 for row in range(18)]  # the last month of the first point
    write(tmp_path, **{"S2-L2A-B11": gap})
    place = WorldCerealPixels(tmp_path)[0]
    assert [len(place.series[name].day) for name in ("s2", "s1", "weather")] == [2, 3, 3]
    other = tmp_path / "other"
    other.mkdir()
    write(other, **{"S1-SIGMA0-VV": [65535] * 18})
    assert len(WorldCerealPixels(other)[0].series["s1"].day) == 0


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="0 files"):
        WorldCerealPixels(tmp_path)
    (tmp_path / "x_long.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"x_long\.parquet: cannot be read"):
        WorldCerealPixels(tmp_path)
    pq.write_table(pa.table({"sample_id": ["a"]}), tmp_path / "x_long.parquet")
    with pytest.raises(InputError, match="no columns"):
        WorldCerealPixels(tmp_path)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the real field points (../shared/realdata) are not here")
def test_the_real_points_are_read_and_no_cell_is_in_two_folds():
    source = WorldCerealPixels(FOLDER)
    assert len(source) == 2889 and len({row["cell"] for row in source.info}) == 49
    assert {len({row["fold"] for row in source.info if row["cell"] == cell}) for cell in {row["cell"] for row in source.info}} == {1}
    sizes = [sum(row["fold"] == fold for row in source.info) for fold in range(1, 6)]
    assert min(sizes) > 560 and max(sizes) < 600
    for index in range(0, len(source), 200):
        place = source[index]
        place.check(source.modalities, str(index))
        assert -45 < place.series["s1"].pixels[:, :2].mean() < 0
