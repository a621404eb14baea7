"""Recipes for published data run, small, on made-up files in the published layouts, converted to a store as a user would."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from omnifuse.data.place import PlaceSource
from omnifuse.data.writing import write_store
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.recipe import read_recipe
from omnifuse.runs.sources import StoreData
from omnifuse.train.log import read_log

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))  # the made-up files


def shrunk(config: PretrainConfig, folder: Path) -> PretrainConfig:
    """Return the recipe with every stage and stride as it is, few channels, two updates of two places."""
    encoders = {
        name: replace(encoder, widths=(8,) * len(encoder.widths), heads=4, dim=16)
        if isinstance(encoder, UTAEConfig)
        else replace(encoder, dim=64, depth=1, heads=1, stem_widths=(4,) * len(encoder.stem_widths))
        for name, encoder in config.encoders.items()
    }
    return replace(
        config,
        in_memory=True,
        data=StoreData(path=str(folder / "store")),
        encoders=encoders,
        objective=replace(config.objective, dim=8, hidden=8),
        train=replace(config.train, steps=2, batch_size=2, warmup_steps=1, workers=0, evaluate_steps=0, log_steps=1),
        folder=str(folder / "run"),
    )


def dry_run(source: PlaceSource, recipe: str, folder: Path, **changes: object) -> list[dict[str, float]]:
    """Convert, pretrain by the shrunk recipe, and return the log."""
    write_store(source, folder / "store")
    config = shrunk(read_recipe(ROOT / "pretrain" / "recipes" / f"{recipe}.py", PretrainConfig), folder)
    pretrain(replace(config, **changes))
    assert (folder / "run" / "report.html").is_file() and (folder / "run" / "pretrained" / "model.safetensors").is_file()
    return read_log(folder / "run" / "log.jsonl")


@pytest.mark.filterwarnings("ignore:.*resampled:UserWarning")  # one made-up image has another size, as some published ones have
@pytest.mark.parametrize("recipe", [pytest.param("pastis_r_infonce", marks=pytest.mark.slow), "pastis_hd_infonce"])
def test_pastis(recipe, tmp_path):
    from fake_pastis import write_fake_pastis

    from omnifuse.data.sources.pastis import Pastis

    config = read_recipe(ROOT / "pretrain" / "recipes" / f"{recipe}.py", PretrainConfig)
    augment = replace(config.augment, most_dates=3, crop=160.0)
    source = Pastis(write_fake_pastis(tmp_path / "native"), tuple(config.encoders))
    log = dry_run(source, recipe, tmp_path, augment=augment, probe_places=1)
    assert all(row["loss"] > 0 for row in log if "loss" in row)
    if recipe == "pastis_hd_infonce":
        assert any(name.startswith("masked/") for row in log for name in row)
    assert any(name.startswith("eval/probe/") for row in log for name in row)


def test_flair_hub(tmp_path):
    pytest.importorskip("rasterio", reason="FLAIR-HUB is read with rasterio")
    from fake_flair_hub import write_flair_hub

    from omnifuse.data.sources.flair_hub import FlairHub

    write_flair_hub(tmp_path / "native")
    source = FlairHub(tmp_path / "native")
    config = read_recipe(ROOT / "pretrain" / "recipes" / "flair_hub.py", PretrainConfig)
    assert set(config.encoders) == set(source.modalities)
    log = dry_run(source, "flair_hub", tmp_path, split=replace(config.split, train=("train", "val"), test=("test",)))
    assert any(name.startswith("loss_cell/") for row in log for name in row)


def test_treesatai(tmp_path):
    pytest.importorskip("rasterio", reason="TreeSatAI is read with rasterio")
    pytest.importorskip("h5py", reason="TreeSatAI series are read with h5py")
    from fake_treesatai import write_treesatai

    from omnifuse.data.sources.treesatai import TreeSatAI

    source = TreeSatAI(write_treesatai(tmp_path / "native"))
    config = read_recipe(ROOT / "pretrain" / "recipes" / "treesatai_ts.py", PretrainConfig)
    log = dry_run(source, "treesatai_ts", tmp_path, split=replace(config.split, train=("train", "val"), test=("test",)))
    assert any(name.startswith("loss_cell/") for row in log for name in row)
    assert any(name.startswith("eval/knn/") for row in log for name in row)
