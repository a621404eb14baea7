"""An exported model gives what the model gives, and says what it must be given."""

import json

import pytest
import torch
from small_models import FACTS, contrast, fusion_model

from omnifuse.errors import InputError
from omnifuse.frames import Batch, Frames
from omnifuse.inference.export import Inputs, example_inputs, export, input_names
from omnifuse.inference.predictor import Predictor
from omnifuse.zoo import load, save_model, save_pretrained

SUBSETS = {
    "everything": Inputs(sensors=("s2", "s1_asc", "spot"), dates=(3, 2, 1), size=160.0),
    "a series": Inputs(sensors=("s2",), dates=(4,), size=80.0),
    "an image": Inputs(sensors=("spot",), dates=(1,), size=160.0),
}


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    save_model(tmp_path_factory.mktemp("model") / "small", fusion_model(), FACTS)
    return load(next(tmp_path_factory.getbasetemp().glob("model*/small")))


def batch_of(predictor: Predictor, inputs: Inputs, values: list[torch.Tensor]) -> Batch:
    given = dict(zip(input_names(predictor, inputs), values, strict=True))
    frames = {
        name: Frames(given[name], given.get(f"{name}_days", torch.zeros(dates, dtype=torch.int64)), torch.tensor([dates]))
        for name, dates in zip(inputs.sensors, inputs.dates, strict=True)
    }
    return Batch(frames, inputs.size, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))


def check_parity(predictor: Predictor, inputs: Inputs, module) -> None:
    for seed in (1, 2, 3):  # not the inputs that were traced
        values = example_inputs(predictor, inputs, seed)
        torch.testing.assert_close(module(*values), predictor.probability(batch_of(predictor, inputs, values)), atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def exported(predictor, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "model.pt2"
    export(predictor, out, SUBSETS["everything"], "torch")
    return torch.export.load(out).module(), out


def test_torch_export_gives_what_the_model_gives(predictor, exported):
    check_parity(predictor, SUBSETS["everything"], exported[0])


@pytest.mark.slow
@pytest.mark.parametrize("subset", ["a series", "an image"])
def test_torch_export_of_one_sensor_gives_what_the_model_gives(predictor, tmp_path, subset):
    export(predictor, tmp_path / "model.pt2", SUBSETS[subset], "torch")
    check_parity(predictor, SUBSETS[subset], torch.export.load(tmp_path / "model.pt2").module())


def test_the_days_count(predictor, exported):
    s2, days, *others = example_inputs(predictor, SUBSETS["everything"], 1)
    assert not torch.allclose(exported[0](s2, days, *others), exported[0](s2, days.flip(0), *others), atol=1e-5)


@pytest.mark.slow
def test_pretrained_encoders_export_their_embeddings(tmp_path):
    save_pretrained(tmp_path / "pretrained", contrast(), {})
    predictor, inputs = load(tmp_path / "pretrained"), Inputs(sensors=("s1_asc", "spot"), dates=(2, 1), size=80.0)
    about = export(predictor, tmp_path / "model.pt2", inputs, "torch")
    values = example_inputs(predictor, inputs, 1)
    place, cells = torch.export.load(tmp_path / "model.pt2").module()(*values)
    expected = predictor.features(batch_of(predictor, inputs, values))
    torch.testing.assert_close((place, cells), expected, atol=1e-6, rtol=1e-5)
    assert [row["name"] for row in about["outputs"]] == ["place", "cells"] and about["labels"] is None


def test_the_description_says_what_to_give(predictor, exported):
    about = json.loads(exported[1].with_name("model.pt2.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in about["inputs"]}
    assert list(rows) == ["s2", "s2_days", "s1_asc", "s1_asc_days", "spot"]
    assert rows["s2"]["shape"] == [3, 10, 16, 16] and rows["s2"]["units"][0] == "reflectance*10000" and rows["s2"]["bands"][2] == "B4"
    assert rows["s2_days"]["counted from"] == "2018-09-01"
    assert about["outputs"] == [{"name": "probability", "dtype": "float32", "shape": [1, 3, 16, 16]}]
    assert about["labels"]["names"][2] == "winter wheat"
    assert about["model"]["sha256"] == predictor.config.weights.sha256


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (Inputs(sensors=("s3",), dates=(1,), size=160.0), "unknown modality 's3'"),
        (Inputs(sensors=(), dates=(), size=160.0), "none"),
        (Inputs(sensors=("s2", "s1_asc"), dates=(1,), size=160.0), "1 numbers of dates"),
        (Inputs(sensors=("s2", "s2"), dates=(1, 1), size=160.0), "each sensor once"),
        (Inputs(sensors=("s2",), dates=(0,), size=160.0), "0 dates of 's2'"),
        (Inputs(sensors=("spot",), dates=(2,), size=160.0), "2 dates of 'spot'"),
        (Inputs(sensors=("s2",), dates=(1,), size=155.0), "not a whole number"),
        (Inputs(sensors=("s2",), dates=(1,), size=10.0), "not divisible"),
    ],
)
def test_what_cannot_be_exported_is_refused(predictor, tmp_path, inputs, message):
    with pytest.raises(InputError, match=message):
        export(predictor, tmp_path / "model.pt2", inputs, "torch")
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")  # of the exporter, about itself
@pytest.mark.parametrize("subset", ["a series", pytest.param("everything", marks=pytest.mark.slow)])
def test_onnx_gives_what_the_model_gives(predictor, tmp_path, subset):
    pytest.importorskip("onnxscript", reason="ONNX is an extra")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX is an extra")
    inputs, out = SUBSETS[subset], tmp_path / "model.onnx"
    export(predictor, out, inputs, "onnx")
    session = runtime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [row.name for row in session.get_inputs()] == input_names(predictor, inputs)
    for seed in (1, 2, 3):
        values = example_inputs(predictor, inputs, seed)
        given = {name: value.numpy() for name, value in zip(input_names(predictor, inputs), values, strict=True)}
        found = torch.from_numpy(session.run(["probability"], given)[0])
        torch.testing.assert_close(found, predictor.probability(batch_of(predictor, inputs, values)), atol=1e-5, rtol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.json"]
