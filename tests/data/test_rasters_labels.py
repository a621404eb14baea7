import csv
import json

import numpy as np
import pytest

from omnifuse.data.sources.rasters import Rasters
from omnifuse.errors import ConfigError, InputError

pytest.importorskip("rasterio", reason="rasters are read with rasterio")

import fake_rasters as fake


def test_labels_are_classes_on_their_own_pixels(table):
    source = Rasters(table)
    numbers = fake.classes(fake.LEFT, fake.TOP, 5, 48)[0]
    assert source.classes.names == ("wheat", "corn", "grass")
    target = source[0].target
    assert target.dtype == np.uint8
    assert np.array_equal(target, numbers // 10 - 1)
    coarse = Rasters(table, label_gsd=40.0)[0].target
    assert np.array_equal(coarse, target[4::8, 4::8])


def test_numbers_that_are_no_class_are_named_and_unlabelled_ground_is_ignored(table):
    legend = json.loads((table.parent / "classes.json").read_text(encoding="utf-8"))

    def write(**fields: object) -> None:
        (table.parent / "classes.json").write_text(json.dumps(legend | fields), encoding="utf-8")

    write(names=["wheat", "corn"], colors=[], values=[10, 20])
    with pytest.raises(InputError, match=r"labels\.tif: numbers \[30\] are no class"):
        Rasters(table)[0]
    write(names=["wheat", "corn"], colors=[], values=[10, 20], unlabelled=[30])
    source = Rasters(table)
    assert np.array_equal(source[0].target == 255, fake.classes(fake.LEFT, fake.TOP, 5, 48)[0] == 30)
    assert len(set(source.classes.colors)) == 2
    fake.changed(table, 5, nodata=20)
    write(unlabelled=[30])
    assert set(np.unique(Rasters(table)[0].target)) == {0, 255}
    write(ignore=-1)
    with pytest.raises(InputError, match="unlabelled ground, but `ignore` is -1"):
        Rasters(table)[0]
    for fields, message in (
        ({"colors": ["#000000"]}, "1 `colors` for 3 names"),
        ({"ignore": 1}, "`ignore` 1"),
        ({"colors": ["red"] * 3}, "'red'"),
        ({"values": [1, 1, 2]}, "stands twice"),
        ({"color": []}, "color"),
    ):
        write(**fields)
        with pytest.raises(ConfigError, match=message):
            Rasters(table)


def test_a_colour_table_names_the_classes_where_no_file_does(table):
    (table.parent / "classes.json").unlink()
    with pytest.raises(InputError, match=r"labels\.tif: labels without a colour table, category names or classes\.json"):
        Rasters(table)
    numbers = fake.classes(fake.LEFT, fake.TOP, 5, 48) // 10 - 1
    colors = {0: (255, 0, 0, 255), 1: (0, 128, 0, 255), 2: (0, 0, 255, 255)}
    file = fake.write_tif(table.parent / "field.0" / "labels.tif", numbers, fake.LEFT, fake.TOP, 5, colors=colors)
    source = Rasters(table)
    assert source.classes.colors == ("#ff0000", "#008000", "#0000ff")
    assert np.array_equal(source[0].target, numbers[0])
    categories = "<CategoryNames><Category>wheat</Category><Category>corn &amp; peas</Category><Category>grass</Category></CategoryNames>"
    file.with_name("labels.tif.aux.xml").write_text(
        f"<PAMDataset><PAMRasterBand band='1'>{categories}</PAMRasterBand></PAMDataset>", "utf-8"
    )
    assert Rasters(table).classes.names == ("wheat", "corn & peas", "grass")


def test_labels_of_whole_places_are_shares_of_classes(table):
    with table.open(encoding="utf-8", newline="") as stream:
        rows: list[fake.Row] = [row for row in csv.DictReader(stream) if row["modality"] != "labels"]
    labels = {"field.0": "wheat", "field.1": "grass:0.25; corn:0.75"}
    for row in rows:
        row["label"] = labels.get(str(row["place"]), "")
    source = Rasters(fake.write_table(table.parent, rows))
    assert source.classes.names == ("wheat", "corn", "grass")
    assert [source[0].target.tolist(), source[1].target.tolist(), source[2].target] == [[1, 0, 0], [0, 0.75, 0.25], None]
    assert source[0].target.dtype == np.float32
    (table.parent / "classes.json").unlink()
    assert Rasters(table).classes.names == ("corn", "grass", "wheat")
    for wrong, message in (("wheat:2", "share '2' of 'wheat'"), ("wheat;wheat", "'wheat' stands twice"), ("corn:x", "'x'")):
        for row in rows:
            row["label"] = wrong
        fake.write_table(table.parent, rows)
        with pytest.raises(InputError, match=message):
            Rasters(table)
    fake.write_table(table.parent, [*rows, {**rows[0], "modality": "labels"}])
    with pytest.raises(InputError, match="column `label` and rows of 'labels'"):
        Rasters(table)
