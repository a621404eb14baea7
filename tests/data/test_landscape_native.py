import json

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.landscape.native import TO_PASTIS, lambert93, write_pastis
from omnifuse.data.landscape.preview import preview
from omnifuse.errors import InputError


def test_native_files_read_back_equal(tmp_path):
    source = Landscape(LandscapeConfig(places=6, size=16, hr=10, sensors=("s2", "s1_asc", "spot")))
    ids = write_pastis(source, tmp_path)
    table = json.loads((tmp_path / "metadata.geojson").read_text(encoding="utf-8"))
    for index, (number, feature) in enumerate(zip(ids, table["features"], strict=True)):
        place = source[index]
        target = np.load(tmp_path / "ANNOTATIONS" / f"TARGET_{number}.npy")
        assert target.dtype == np.uint8 and np.array_equal(target[0], TO_PASTIS[place.target])
        for name, native in (("s2", "S2"), ("s1_asc", "S1A")):
            values = np.load(tmp_path / f"DATA_{native}" / f"{native}_{number}.npy")
            assert values.dtype == place.series[name].pixels.dtype and np.array_equal(values, place.series[name].pixels)
            dates = feature["properties"][f"dates-{native}"]
            read = [np.datetime64(f"{str(d)[:4]}-{str(d)[4:6]}-{str(d)[6:]}", "D").astype(int) for d in dates.values()]
            assert list(dates) == [str(i) for i in range(len(values))] and np.array_equal(read, place.series[name].day)
        assert feature["properties"]["Fold"] == place.info["fold"] and feature["id"] == str(number)
    norm = json.loads((tmp_path / "NORM_S2_patch.json").read_text(encoding="utf-8"))
    assert norm["Fold_2"]["mean"] == pytest.approx(source[5].series["s2"].pixels.mean((0, 2, 3)).tolist())
    assert len(set(TO_PASTIS.tolist())) == 14  # labels can be told apart again


def test_native_image_reads_back_equal(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    source = Landscape(LandscapeConfig(places=1, size=16, hr=10, sensors=("spot",)))
    (number,) = write_pastis(source, tmp_path, ("spot",))
    name = "SPOT6_RVB_1M00_2019"
    with rasterio.open(tmp_path / "DATA_SPOT" / f"PASTIS_{name}" / f"{name}_{number}.tif") as file:
        assert np.array_equal(file.read(), source[0].series["spot"].pixels[0])
        assert file.res == (1.0, 1.0)


def test_the_projection_has_its_origin_where_it_should():
    assert lambert93(3, 46.5) == pytest.approx((700_000, 6_600_000), abs=1e-3)
    assert lambert93(-0.9, 48.3) == pytest.approx((410_903.8536, 6_807_104.4031), abs=1e-3)  # PROJ 9


def test_a_sensor_that_the_layout_has_no_place_for_is_refused(tmp_path):
    with pytest.raises(InputError, match="dem"):
        write_pastis(Landscape(LandscapeConfig(places=1, size=16)), tmp_path, ("dem",))


def test_a_place_can_be_looked_at(tmp_path):
    figure = preview(Landscape(LandscapeConfig(places=1, size=32, sensors=("s2", "s1_asc", "spot"))), 0)
    figure.savefig(tmp_path / "place.png", dpi=20)
    assert len(figure.axes) == 16
