"""A model as a STAC item of the machine learning model extension."""

import json

import pystac
import pytest
from small_models import FACTS, contrast, fusion_model

from omnifuse.inference.folder import read_folder
from omnifuse.inference.mlm import mlm_item
from omnifuse.zoo import save_model, save_pretrained


@pytest.fixture(scope="module")
def item(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("mlm") / "small"
    save_model(folder, fusion_model(), FACTS)
    return json.loads(json.dumps(mlm_item("small", read_folder(folder))))


def test_pystac_reads_the_item(item):
    mlm = pytest.importorskip("pystac.extensions.mlm", reason="older pystac does not know models")
    read = mlm.MLMExtension.ext(pystac.Item.from_dict(item))
    assert (read.mlm_name, read.architecture, read.framework) == ("small", "omnifuse segmentation", "PyTorch")
    assert [one.name for one in read.input] == ["s2", "s1_asc", "spot"]
    assert read.output[0].result.shape == [-1, 3, -1, -1]


def test_every_field_that_the_extension_requires_is_there(item):
    properties = item["properties"]
    assert {"mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output"} <= set(properties)
    bands = {band["name"] for band in properties["bands"]}
    for row in properties["mlm:input"]:
        assert "bands" in row["input"]["dim_order"] and set(row["bands"]) <= bands
        assert len(row["input"]["shape"]) == len(row["input"]["dim_order"])
        assert len(row["value_scaling"]) == len(row["bands"])
    assert properties["mlm:input"][0]["value_scaling"][2] == {"type": "z-score", "mean": 1429.22, "stddev": 1959.4}
    assert [row["name"] for row in properties["mlm:output"][0]["classification:classes"]] == ["void", "meadow", "winter-wheat"]
    [model] = [asset for asset in item["assets"].values() if "mlm:model" in asset.get("roles", [])]
    assert model["mlm:artifact_type"] == "safetensors.torch.save_file" and model["file:checksum"].startswith("1220")


def test_wavelengths_are_in_micrometres_and_of_optical_bands_alone(item):
    bands = {band["name"]: band for band in item["properties"]["bands"]}
    assert bands["B4"]["eo:center_wavelength"] == 0.6646 and "eo:center_wavelength" not in bands["VV"]


def test_pretrained_encoders_give_vectors(tmp_path):
    save_pretrained(tmp_path / "1: x", contrast(), {})
    found = mlm_item("1: x", read_folder(tmp_path / "1: x"))
    assert found["properties"]["mlm:tasks"] == ["similarity-search"] and found["id"] == "model-1-x"
    assert [row["name"] for row in found["properties"]["mlm:output"]] == ["place", "cells"]
