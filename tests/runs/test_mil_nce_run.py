"""MIL-NCE is pretrained by like the contrast: chosen in a recipe, kept, handed on."""

from dataclasses import replace

from test_runs import places, pretraining  # noqa: F401  (a fixture)

from omnifuse.config import from_dict, read_json
from omnifuse.objectives.contrast import Contrast
from omnifuse.objectives.mil_nce import MilNCEConfig
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.zoo import load


def test_a_pretraining_by_mil_nce_hands_on_its_encoders(tmp_path, places):  # noqa: F811
    config = pretraining(tmp_path, objective=MilNCEConfig(dim=8, hidden=16, num_cells=8))
    result = pretrain(config, places)
    assert result.metrics["loss_cell"] > 0
    kept = next(tmp_path.rglob("pretrained")).parent
    assert from_dict(PretrainConfig, read_json(kept / "config.json"), "config.json").objective == config.objective
    assert isinstance(load(kept / "pretrained").model, Contrast)
    both = pretrain(replace(config, masked_weight=0.5, folder=str(tmp_path / "both")), places)
    assert both.metrics["loss_masked"] > 0 and both.metrics["loss_cell"] > 0
    assert isinstance(load(tmp_path / "both" / "pretrained").model, Contrast)
