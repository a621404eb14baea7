import json
from pathlib import Path

import numpy as np
import pytest

from omnifuse.data.sources.rasters import Rasters
from omnifuse.errors import ConfigError, InputError, OmnifuseError

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake
import rasterio


def test_rasters_that_cannot_be_placed_are_named(table):
    folder, values = table.parent / "field.0", fake.optical(fake.LEFT, fake.TOP, 24)
    file = folder / "s2_0.tif"
    turned = rasterio.Affine(10, 1, fake.LEFT, 1, -10, fake.TOP)
    for options, message in (({"crs": None}, "no coordinate reference system"), ({"transform": turned}, "pixels are turned")):
        fake.write_tif(file, values, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS, **options)
        with pytest.raises(InputError, match=rf"{file}: .*{message}"):
            Rasters(table)
    fake.write_tif(file, values, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS)
    cut = file.read_bytes()
    file.write_bytes(cut[: len(cut) // 2])
    with pytest.raises(InputError, match=rf"{file}: cannot be read"):
        Rasters(table)[0]
    (folder / "s2_1.tif").unlink()
    file.write_bytes(b"")
    with pytest.raises(InputError, match=r"row 2: .*s2_0\.tif: .* Nor can 1 more: row 3\."):
        Rasters(table)
    fake.write_tif(file, values.astype(np.float32) / 10_000, fake.LEFT, fake.TOP, 10, names=fake.S2_BANDS)
    with pytest.raises(InputError, match=r"values reach 0\.\d+, not plausible in the unit 'reflectance\*10000'. Try: unit `reflectance`"):
        Rasters(fake.changed(table, 1, path=None))[0]
    scaled = Rasters(fake.changed(table, 0, unit="reflectance"))
    np.testing.assert_allclose(scaled[0].series["s2"].pixels[0], values[[fake.S2_BANDS.index(band) for band in fake.OPTICAL]], rtol=1e-5)


def test_types_that_differ_between_places_are_named(table):
    values = fake.optical(fake.LEFT + fake.STEP, fake.TOP, 24).astype(np.int32)
    fake.write_tif(table.parent / "field.1" / "s2_0.tif", values, fake.LEFT + fake.STEP, fake.TOP, 10, names=fake.S2_BANDS)
    with pytest.raises(InputError, match=r"field.1/s2_0\.tif: int32, the first raster of 's2' has int16. Try: `scale` 1"):
        Rasters(table)[1]
    fake.write_tif(table.parent / "field.1" / "s2_0.tif", values.astype(np.uint8), fake.LEFT + fake.STEP, fake.TOP, 10, names=fake.S2_BANDS)
    assert Rasters(table)[1].series["s2"].pixels.dtype == np.int16


def test_what_describes_sensors_wrongly_is_named(table):
    file = table.parent / "modalities.json"
    for content, message in (
        ("{}", "not a list"),
        ('[{"name": "drone"}]', "entry 1.*title"),
        (json.dumps([fake.PLANE.__dict__] * 2), "two sensors of one name"),
        (json.dumps([{**fake.PLANE.__dict__, "gsd": "fine"}]), "gsd"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            Rasters(table)
    file.unlink()
    with pytest.raises(InputError, match=r"place of 52 m is 5\.2 pixels of 's2'"):
        Rasters(table, size=52.0)
    with pytest.raises(ConfigError, match="size -1"):
        Rasters(table, size=-1.0)


@pytest.mark.parametrize(("package", "file"), [("rasterio", "table.csv"), ("pyarrow", "table.parquet")])
def test_a_package_that_is_not_installed_is_named_with_the_extra_that_brings_it(table, monkeypatch, package, file):
    from omnifuse.data import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == package else object())
    table.rename(table.with_name(file))
    with pytest.raises(InputError, match=rf"{file}: reading it needs the package {package}. Try: pip install 'omnifuse\[geo\]'"):
        Rasters(table.with_name(file))


def test_every_place_is_checked_for_problems(table):
    assert not list(Rasters(table).problems())
    (table.parent / "field.1" / "s1_VH.tif").write_bytes((table.parent / "field.1" / "s1_VH.tif").read_bytes()[:600])
    source = Rasters(table)
    (table.parent / "field.2" / "labels.tif").unlink()
    found = [(problem.place, Path(problem.file).name) for problem in source.problems()]
    assert found == [("field.1", "s1_VV.tif"), ("field.2", "labels.tif")]
    for index in (1, 2):
        with pytest.raises(OmnifuseError):
            source[index]
