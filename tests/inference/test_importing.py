"""Published U-TAE checkpoints: the same output from a model folder, and clear errors for other files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from omnifuse.cli import main
from omnifuse.errors import CheckpointError, ConfigError, InputError
from omnifuse.frames import Batch, Frames
from omnifuse.inference.importing import read_published, with_statistics_of
from omnifuse.modalities import MODALITIES
from omnifuse.models.utae_reference import ReferenceUTAE
from omnifuse.zoo import load, load_pretrained

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "utae_reference.npz"
ORIGIN = 17775  # 2018-09-01


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A small model of the published layout, for the ten bands of s2 and four classes."""
    torch.manual_seed(0)
    sizes = {"widths": (16, 16, 32), "decoder": (8, 8, 32), "out": (8, 4), "bands": 10, "stride": 2, "heads": 16, "key_dim": 4, "dim": 64}
    model = ReferenceUTAE(**sizes)
    for name, value in model.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_()
    return model.state_dict()


def published(folder: Path, state: dict[str, Tensor], **options) -> Path:
    """Write a checkpoint as it was published: the options beside the folders of the folds."""
    (folder / "Fold_1").mkdir(parents=True)
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": []}}, folder / "Fold_1" / "model.pth.tar")
    (folder / "conf.json").write_text(json.dumps({"model": "utae", "num_classes": 4, **options}), encoding="utf-8")
    return folder / "Fold_1"


NAMES = ["--classes", "void", "meadow", "corn", "beet"]


def imported(path: Path, out: Path, *flags: str) -> int:
    return main(["import", "utae", str(path), str(out), *flags])


@pytest.mark.skipif(not GOLDEN.is_file(), reason="needs shared/golden")
def test_a_published_model_gives_its_published_output(tmp_path):
    golden = np.load(GOLDEN)
    known = {key.removeprefix("state_dict/"): torch.from_numpy(golden[key]) for key in golden if key.startswith("state_dict/")}
    assert imported(published(tmp_path / "weights", known), tmp_path / "utae") == 0
    predictor = load(tmp_path / "utae")
    s2 = MODALITIES["s2"]
    mean, std = (torch.tensor(values)[:, None, None] for values in (s2.mean, s2.std))
    assert len(predictor.classes.names) == 20 and predictor.classes.ignore == 19
    batches = []
    for case in ("case0", "case1"):
        pixels = torch.from_numpy(golden[f"{case}/frames"]) * std + mean  # the published code normalizes outside of the model
        days = torch.from_numpy(golden[f"{case}/days"]).long() + ORIGIN
        frames = {"s2": Frames(pixels, days, torch.tensor([len(days)]))}
        batches.append(Batch(frames, 320.0, torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)))
    with torch.inference_mode():
        logits = predictor.model(Batch.cat(batches))  # both places at once: nothing is padded
    for row, case in zip(logits, ("case0", "case1"), strict=True):
        torch.testing.assert_close(row, torch.from_numpy(golden[f"{case}/logits"]), atol=1e-4, rtol=1e-4)
    batch = batches[0].frames["s2"]
    prediction = predictor.predict({"s2": batch.pixels}, days={"s2": batch.day})
    expected = golden["case0/logits"].copy()
    expected[19] = -np.inf
    agreement = (prediction.labels == expected.argmax(0)).mean()
    assert agreement > 0.99  # values within a rounding of each other
    assert prediction.probability[19].max() == 0


def test_options_of_the_training_are_read_from_beside_the_weights(state, tmp_path):
    path = published(tmp_path / "weights", state, agg_mode="mean", padding_mode="zeros")
    assert imported(path, tmp_path / "utae", *NAMES, "--ignore", "0", "--origin", "2019-01-01", "--license", "MIT") == 0
    model = load(tmp_path / "utae").model
    assert (model.config.encoder.aggregation, model.config.encoder.padding) == ("mean", "zeros")
    assert model.config.encoder.widths == (16, 16, 32) and model.config.decoder == (8, 8, 32)
    assert model.config.encoder.origin == ORIGIN + 122
    content = json.loads((tmp_path / "utae" / "config.json").read_text(encoding="utf-8"))
    assert content["facts"]["skips"] == "mean" and content["dates"]["origin of s2"] == "2019-01-01"
    assert "license: mit" in (tmp_path / "utae" / "README.md").read_text(encoding="utf-8")


def test_the_statistics_of_its_training_can_be_given(tmp_path):
    folds = {f"Fold_{fold}": {"mean": [float(fold)] * 10, "std": [10.0 * fold] * 10} for fold in (1, 2, 4)}
    (tmp_path / "NORM_S2_patch.json").write_text(json.dumps(folds), encoding="utf-8")
    found = with_statistics_of(MODALITIES["s2"], tmp_path / "NORM_S2_patch.json", (2, 4))
    assert found.mean == (3.0,) * 10 and found.std == (30.0,) * 10
    with pytest.raises(InputError, match=r"has folds 1, 2, 4, not 3.*Try: "):
        with_statistics_of(MODALITIES["s2"], tmp_path / "NORM_S2_patch.json", (1, 2, 3))
    with pytest.raises(InputError, match="has 10 bands, 's1_asc' has 3"):
        with_statistics_of(MODALITIES["s1_asc"], tmp_path / "NORM_S2_patch.json", (1,))


def test_an_imported_model_embeds_and_its_layers_start_no_training_of_ours(state, tmp_path):
    assert imported(published(tmp_path / "weights", state), tmp_path / "utae", *NAMES) == 0
    pixels = torch.full((2, 10, 16, 16), 1500.0)
    found = load(tmp_path / "utae").embed({"s2": pixels}, days={"s2": ["2018-10-01", "2019-05-01"]})
    assert found.place.shape == (32,) and np.isfinite(found.cells).all()
    with pytest.raises(CheckpointError, match=r"published U-TAE.*Try: "):
        load_pretrained(tmp_path / "utae")


def altered(state: dict[str, Tensor], **changes: Tensor) -> dict[str, Tensor]:
    return {**state, **changes}


def test_other_files_are_refused_in_words(state, tmp_path, capsys):
    good = published(tmp_path / "good", state) / "model.pth.tar"

    def refused(path: Path, *flags: str) -> str:
        assert imported(path, tmp_path / "out", *flags) not in (0, None)
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "maps 4 classes, 20 are named" in refused(good)
    assert "reads 10 bands, 's1_asc' has 3" in refused(good, *NAMES, "--sensor", "s1_asc")
    assert "unknown modality 's3'" in refused(good, *NAMES, "--sensor", "s3")
    assert "no such file" in refused(tmp_path / "nowhere")
    for name, content, message in (
        ("cut", good.read_bytes()[:5000], "cannot be read as weights"),
        ("page", b"<!DOCTYPE html><html>", "a web page"),
        ("pointer", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ):
        (tmp_path / name).write_bytes(content)
        assert message in refused(tmp_path / name)
    torch.save({"state_dict": Path("x")}, tmp_path / "code")  # an object whose class would have to be imported
    assert "cannot be read as weights" in refused(tmp_path / "code")
    for name, value, message in (
        ("list", [1, 2], "no tensors by name"),
        ("empty", {"state_dict": {}}, "no tensors by name"),
        ("missing", {"state_dict": {k: v for k, v in state.items() if "temporal" not in k}}, "missing"),
        ("further", {"state_dict": altered(state, extra=torch.zeros(1))}, "unexpected"),
        ("infinite", altered(state, **{"in_conv.conv.conv.0.bias": torch.full((16,), torch.inf)}), "not finite"),
        ("misshapen", altered(state, **{"in_conv.conv.conv.1.bias": torch.zeros(7)}), "does not fit"),
    ):
        torch.save(value, tmp_path / name)
        assert message in refused(tmp_path / name, *NAMES), name
    assert main(["import", "unet", str(good), str(tmp_path / "out")]) == 4


def test_unknown_options_of_a_training_are_refused(state, tmp_path):
    with pytest.raises(ConfigError, match=r"conf\.json: `agg_mode` is 'att_max'.*Try: "):
        read_published(published(tmp_path / "weights", state, agg_mode="att_max"))
