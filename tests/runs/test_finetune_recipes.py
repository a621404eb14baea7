"""Fine-tuning recipes for published data run, small, on made-up files in the published layouts, and are scored by their protocols."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from test_pretrain_recipes import shrunk as shrunk_pretraining

from omnifuse.cli import main
from omnifuse.data.place import PlaceSource
from omnifuse.data.writing import write_store
from omnifuse.evals.protocols import PROTOCOLS
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.timm_encoder import TimmConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.pretraining import PretrainConfig, pretrain
from omnifuse.runs.recipe import read_recipe
from omnifuse.runs.results import read_results
from omnifuse.runs.sources import StackedData, StoreData

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "data"))  # the made-up files
resampled = pytest.mark.filterwarnings("ignore:.*resampled:UserWarning")  # one made-up image has another size, as some published ones have


def shrunk(config: FinetuneConfig, folder: Path) -> FinetuneConfig:
    """Return the recipe with every stage, stride and scale as it is, few channels, two updates of two places."""
    encoders = {
        name: replace(encoder, widths=(8,) * len(encoder.widths), heads=4, dim=16)
        if isinstance(encoder, UTAEConfig)
        else replace(encoder, name="test_resnet")
        if isinstance(encoder, TimmConfig)
        else replace(encoder, dim=64, depth=1, heads=1, stem_widths=(4,) * len(encoder.stem_widths))
        for name, encoder in config.encoders.items()
    }
    head, store = config.head, StoreData(path=str(folder / "store"))
    return replace(
        config,
        in_memory=True,
        data=replace(config.data, data=store) if isinstance(config.data, StackedData) else store,
        encoders=encoders,
        fusion=replace(config.fusion, dims=(16, *(8,) * (len(config.fusion.dims) - 1)), heads=2, depth=min(1, config.fusion.depth)),
        head=replace(head, dims=(8,) * len(head.dims)) if isinstance(head, SegmentationConfig) else replace(head, dim=8),
        augment=replace(config.augment, most_dates=3),
        train=replace(config.train, steps=1, batch_size=2, warmup_steps=0, workers=0, evaluate_steps=0, log_steps=1),
        folder=str(folder / "run"),
    )


def dry_run(source: PlaceSource, recipe: str, protocol: str, folder: Path, before: str = "", **changes: object) -> None:
    """Convert, pretrain by the recipe `before`, fine-tune by the shrunk recipe, and evaluate by the protocol."""
    write_store(source, folder / "store", workers=1)
    config = shrunk(read_recipe(ROOT / "finetune" / "recipes" / f"{recipe}.py", FinetuneConfig), folder)
    config = replace(config, **changes)
    if before:
        start = shrunk_pretraining(read_recipe(ROOT / "pretrain" / "recipes" / f"{before}.py", PretrainConfig), folder / "before")
        start = replace(start, data=config.data, split=replace(config.split, val=()), probe_places=0, masked_weight=0.0)
        start = replace(start, augment=replace(start.augment, most_dates=3, crop=min(160.0, start.augment.crop)))
        pretrain(start)
        config = replace(config, init=str(Path(start.folder) / "pretrained"))
    finetune(config)
    out = folder / "evaluation"
    flags = ["--protocol", protocol, "--subsets", "full", "--device", "cpu", "--out", str(out)]
    assert main(["evaluate", config.folder, str(folder / "store"), *flags]) == 0
    results = read_results(out)
    assert results.metric.headline == PROTOCOLS[protocol].prints[0] and results.about.protocol == protocol
    assert len(results.about.places) >= 1 and (out / "report" / "report.html").is_file()


@resampled
@pytest.mark.parametrize(
    ("recipe", "before"),
    [
        ("pastis_fold3", ""),
        ("pastis_r_early", ""),
        pytest.param("pastis_r_late", "", marks=pytest.mark.slow),
        pytest.param("pastis_r", "pastis_r_infonce", marks=pytest.mark.slow),
        pytest.param("pastis_hd", "pastis_hd_infonce", marks=pytest.mark.slow),
    ],
)
def test_pastis(recipe, before, tmp_path):
    from fake_pastis import write_fake_pastis

    from omnifuse.data.sources.pastis import Pastis

    config = read_recipe(ROOT / "finetune" / "recipes" / f"{recipe}.py", FinetuneConfig)
    sensors = ("s2", "s1_asc", "s1_desc") if isinstance(config.data, StackedData) else tuple(config.encoders)
    source = Pastis(write_fake_pastis(tmp_path / "native"), sensors)
    protocol = "pastis" if recipe.startswith("pastis_fold") else "pastis_fold1"
    dry_run(source, recipe, protocol, tmp_path, before, augment=replace(config.augment, most_dates=2, crop=160.0))


@pytest.mark.parametrize("recipe", ["flair", "flair_unet", pytest.param("flair_vit", marks=pytest.mark.slow)])
def test_flair(recipe, tmp_path):
    pytest.importorskip("rasterio", reason="FLAIR is read with rasterio")
    from fake_flair import CENTRES, LOCAL, mask, write_flair, write_image

    from omnifuse.data.sources.flair import Flair

    write_flair(tmp_path / "native")
    labels = tmp_path / "native" / "flair_2_labels_test" / "D015_2020" / "Z5_UU" / "msk" / "MSK_000004.tif"
    write_image(labels, mask()[None], CENTRES[4], LOCAL)  # the challenge kept them back
    source = Flair(tmp_path / "native", protocol="flair13")
    dry_run(source, recipe, "flair_12", tmp_path)


@pytest.mark.slow
def test_flair_hub(tmp_path):
    pytest.importorskip("rasterio", reason="FLAIR-HUB is read with rasterio")
    from fake_flair_hub import write_flair_hub

    from omnifuse.data.sources.flair_hub import FlairHub

    write_flair_hub(tmp_path / "native")
    source = FlairHub(tmp_path / "native")
    for row, part in zip(source.info, ("train", "val", "test", *["train"] * len(source)), strict=False):
        row["split"] = part
    dry_run(source, "flair_hub", "flair_hub", tmp_path, "flair_hub")


@pytest.mark.slow
def test_treesatai(tmp_path):
    pytest.importorskip("rasterio", reason="TreeSatAI is read with rasterio")
    pytest.importorskip("h5py", reason="TreeSatAI series are read with h5py")
    from fake_treesatai import write_treesatai

    from omnifuse.data.sources.treesatai import TreeSatAI

    source = TreeSatAI(write_treesatai(tmp_path / "native"))
    dry_run(source, "treesatai_ts", "treesatai", tmp_path, "treesatai_ts")


def test_five_recipes_are_the_five_rows_and_no_seed_is_shared():
    recipes = [read_recipe(ROOT / "finetune" / "recipes" / f"pastis_fold{k}.py", FinetuneConfig) for k in range(1, 6)]
    for config, row in zip(recipes, PROTOCOLS["pastis"].rows, strict=True):
        assert (config.split.train, config.split.val, config.split.test) == (row.train, row.val, row.test)
    assert len({config.folder for config in recipes}) == len({config.train.seed for config in recipes}) == 5
