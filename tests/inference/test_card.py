"""A card: hubs read its front matter, its snippet runs, and its figures carry their intervals."""

import re
from dataclasses import replace

import pytest
import torch
from huggingface_hub import ModelCard
from small_models import CLASSES, FACTS, SENSORS, contrast, fusion_model

from omnifuse.classes import ClassTable
from omnifuse.errors import ConfigError
from omnifuse.inference.card import scores_of
from omnifuse.models.model import EncodersConfig, FusionModel
from omnifuse.zoo import save_model, save_pretrained

SCORES = [
    {"metric": "mIoU", "sensors": "s2", "value": 0.4, "low": 0.35, "high": 0.45, "on": '60 held-out places: "x" #1 | y'},
    {"metric": "mIoU", "sensors": "s2+spot", "value": 0.5, "low": 0.44, "high": 0.56, "on": "60 held-out places"},
    {"metric": "mIoU", "sensors": "spot", "value": 0.1},
]
ONE = {
    name: EncodersConfig(modalities={name: SENSORS.modalities[name]}, encoders={name: SENSORS.encoders[name]}) for name in ("s2", "spot")
}


def text_of(folder) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def test_hubs_read_the_front_matter(tmp_path):
    save_model(tmp_path / "small", fusion_model(), {**FACTS, "title": 'A "model": #1', "scores": SCORES})
    data = ModelCard(text_of(tmp_path / "small")).data
    assert (data.library_name, data.pipeline_tag, data.license) == ("omnifuse", "image-segmentation", "cc-by-4.0")
    assert data.model_name == 'A "model": #1'
    found = {result.metric_name: result.metric_value for result in data.eval_results}
    assert found == {"mIoU, s2+spot 0.500 (0.440–0.560)": 0.5, "mIoU, s2 0.400 (0.350–0.450)": 0.4, "mIoU, spot 0.100": 0.1}


def test_a_license_that_hubs_do_not_know_is_other(tmp_path):
    save_pretrained(tmp_path / "small", contrast(), {"license": "My-License 1.0"})
    data = ModelCard(text_of(tmp_path / "small")).data.to_dict()
    assert (data["license"], data["license_name"]) == ("other", "my-license 1.0")
    assert data["pipeline_tag"] == "image-feature-extraction"


def test_figures_stand_with_their_intervals_and_text_stays_in_its_cell(tmp_path):
    names = ClassTable(names=("void", "a | b", "c"), colors=CLASSES.colors, ignore=0)
    save_model(tmp_path / "small", fusion_model(classes=names), {"scores": SCORES, "note": "x | y\nz"})
    text = text_of(tmp_path / "small")
    assert "| mIoU | s2+spot | 0.500 (0.440–0.560) | 60 held-out places |" in text
    assert text.index("s2+spot | 0.500") < text.index("| mIoU | s2 | 0.400") < text.index("| mIoU | spot | 0.100 |")
    assert "| 1 | a \\| b | `#55aa33` |" in text and "| note | x \\| y z |" in text


def test_what_goes_wrong_with_units_is_said(tmp_path):
    save_model(tmp_path / "small", fusion_model(), {})
    text = text_of(tmp_path / "small")
    assert "have 1000 added: subtract it first" in text and "10·log10" in text and "0 to 255" in text and "counts from 2018-09-01" in text


def test_scores_that_are_none_are_refused():
    with pytest.raises(ConfigError, match="scores"):
        scores_of({"scores": [{"metric": "mIoU", "value": "high"}]})
    assert scores_of({}) == []


def model_of(sensors: EncodersConfig) -> FusionModel:
    return FusionModel(replace(fusion_model().config, sensors=sensors)).eval()


@pytest.mark.parametrize("kind", ["series", "image", "encoders"])
def test_the_snippet_runs(tmp_path, monkeypatch, kind):
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    if kind == "encoders":
        save_pretrained(tmp_path / "small", contrast(), {})
    else:
        save_model(tmp_path / "small", model_of(ONE["s2" if kind == "series" else "spot"]), {})
    run_snippet(tmp_path / "small")


def run_snippet(folder) -> None:
    [snippet] = re.findall(r"^```python\n(.*?)^```$", text_of(folder), re.DOTALL | re.MULTILINE)
    exec(compile(snippet, "card", "exec"), {})  # noqa: S102  # as a reader would


@pytest.mark.parametrize(("context", "facts"), [(148.8, {"place size (m)": 102.4}), (148.8, {}), (0.0, {"place size (m)": 160.0})])
def test_the_snippet_runs_where_320_m_is_no_whole_number_of_pixels(tmp_path, monkeypatch, context, facts):
    monkeypatch.chdir(tmp_path)
    modalities = {"s2": replace(SENSORS.modalities["s2"], context=context)}
    save_model(tmp_path / "small", model_of(replace(ONE["s2"], modalities=modalities)), facts)
    side = round((facts.get("place size (m)", 320) + 2 * context) / 10)
    assert f"10, {side}, {side})" in text_of(tmp_path / "small")
    run_snippet(tmp_path / "small")
