"""Algal blooms: what each column becomes, dates with and without a season, and no site in two folds."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.place import is_date, labels_of
from omnifuse.data.sources.algae_blooms import SEVERITY, AlgaeBlooms
from omnifuse.errors import InputError

FOLDER = Path(__file__).parents[2].parent / "shared" / "realdata" / "presto_pixels" / "algae_blooms"


def write(folder: Path, **changes: np.ndarray) -> None:
    """Six samples at three sites; a value tells its sample, month and column."""
    samples, months, columns = np.arange(6.0)[:, None, None], np.arange(12.0)[:, None], np.arange(18.0)
    arrays = {
        "s1_s2_era5_srtm": 1000 * samples + 50 * months + columns,
        "month": (np.arange(6)[:, None] + np.arange(12)) % 12,
        "latlon": np.array([(40.0, -90.0), (40.0, -90.0), (41.0, -91.0), (41.0, -91.0), (40.0, -91.0), (40.0, -91.0)]),
        "target": np.array([1, 2, 3, 4, 5, 1]),
        "uid": np.array(list("abcdef")),
        "is_test": np.array([0, 0, 0, 0, 1, 1]),
    }
    (folder / "npy").mkdir(parents=True)
    for name, values in (arrays | changes).items():
        np.save(folder / "npy" / f"{name}.npy", values)


def test_every_column_comes_where_it_belongs(tmp_path):
    write(tmp_path)
    source = pickle.loads(pickle.dumps(AlgaeBlooms(tmp_path)))  # noqa: S301  (as workers do)
    place = source[2]
    place.check(source.modalities, "sample")
    assert place.series["s2"].pixels[3, :, 0, 0].tolist() == [2150 + column for column in range(2, 13)]
    assert place.series["s1"].pixels[3, :, 0, 0].tolist() == [2150, 2151, -1]
    assert place.series["weather"].pixels[3].ravel().tolist() == [2163, 2164]
    assert place.series["dem"].pixels.ravel().tolist() == [2015, 2016]
    assert place.target.tolist() == [3.0] and labels_of(source) == SEVERITY
    assert source.info[2]["latitude"] == 41.0 and source.info[2]["longitude"] == -91.0


def test_months_are_dates_and_may_be_hidden(tmp_path):
    write(tmp_path)
    days = AlgaeBlooms(tmp_path)[2].series["s1"].day.astype("datetime64[D]").astype(str)
    assert days[0] == "2020-03-01" and days[-1] == "2021-02-01"
    hidden = [AlgaeBlooms(tmp_path, dated=False)[index].series["s1"].day.tolist() for index in (0, 5)]
    assert hidden[0] == hidden[1] and not any(is_date(day) for day in hidden[0])


def test_folds_keep_sites_whole(tmp_path):
    write(tmp_path)
    assert [row["fold"] for row in AlgaeBlooms(tmp_path).info] == [2, 2, 3, 3, 1, 1]


def test_what_is_not_right_is_named(tmp_path):
    with pytest.raises(InputError, match=r"s1_s2_era5_srtm\.npy: no such file"):
        AlgaeBlooms(tmp_path)
    write(tmp_path / "other", target=np.zeros(5))
    with pytest.raises(InputError, match=r"target\.npy: 5 samples"):
        AlgaeBlooms(tmp_path / "other")
    write(tmp_path / "bands", s1_s2_era5_srtm=np.zeros((6, 12, 17)))
    with pytest.raises(InputError, match=r"expected \(samples, 12, 18\)"):
        AlgaeBlooms(tmp_path / "bands")


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the real samples (../shared/realdata) are not here")
def test_the_real_samples_are_read_and_no_site_is_in_two_folds_or_splits():
    source = AlgaeBlooms(FOLDER)
    assert len(source) == 1122
    for key in ("fold", "split"):
        assert len({(row["site"], row[key]) for row in source.info}) == len({row["site"] for row in source.info}) == 255
    sizes = np.bincount([row["fold"] for row in source.info])[1:]
    assert sizes.tolist() == [225, 225, 224, 224, 224]
    for index in range(0, len(source), 300):
        source[index].check(source.modalities, str(index))
    severity = np.array([source[index].target[0] for index in range(len(source))])
    assert set(severity) == {1, 2, 3, 4, 5}
    np.testing.assert_allclose((severity.mean(), severity.std()), (SEVERITY.mean[0], SEVERITY.std[0]), atol=1e-3)
