"""Small models and arrays with physical units, for tests of folders and predictions."""

from dataclasses import replace
from datetime import date

import numpy as np
import torch
import xarray as xr

from omnifuse.classes import ClassTable
from omnifuse.modalities import MODALITIES
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import SegmentationConfig
from omnifuse.models.model import EncodersConfig, FusionModel, ModelConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.models.vit import ViTConfig
from omnifuse.objectives.contrast import Contrast, ContrastConfig

ORIGIN = date(2018, 9, 1)
CLASSES = ClassTable(names=("void", "meadow", "winter wheat"), colors=("#000000", "#55aa33", "#ddbb55"), ignore=0)
UTAE = UTAEConfig(widths=(8, 16), heads=2, dim=16)
SENSORS = EncodersConfig(
    modalities={name: MODALITIES[name] for name in ("s2", "s1_asc", "spot")} | {"spot": replace(MODALITIES["spot"], gsd=2.5)},
    encoders={"s2": UTAE, "s1_asc": UTAE, "spot": ViTConfig(patch=8, dim=16, depth=1, heads=2, stem_widths=(4,))},
)
FACTS = {"title": "A small model", "license": "CC-BY-4.0", "seed": 3, "miou": {"s2": 0.51234, "s2+s1_asc": 0.6}}


def fusion_model(seed: int = 0, classes: ClassTable = CLASSES) -> FusionModel:
    torch.manual_seed(seed)
    config = ModelConfig(
        sensors=SENSORS,
        fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1),
        head=SegmentationConfig(dims=(8,)),
        labels=classes,
    )
    return FusionModel(config).eval()


def contrast(seed: int = 0) -> Contrast:
    torch.manual_seed(seed)
    return Contrast(SENSORS, ContrastConfig(dim=8, hidden=8, cell_gsd=20.0)).eval()


def arrays(size: float = 160.0, num_dates: int = 4) -> dict[str, xr.DataArray]:
    """Return one place in a projected coordinate system: x from 600000, y down from 5000000."""
    draw = np.random.default_rng(5)
    made = {}
    for name, modality in SENSORS.modalities.items():
        side, dates = modality.pixels(size), num_dates if modality.series else 1
        values = draw.normal(
            np.array(modality.mean)[:, None, None], np.array(modality.std)[:, None, None], (dates, len(modality.bands), side, side)
        )
        time = np.datetime64(ORIGIN, "ns") + np.arange(dates) * np.timedelta64(30 * 24, "h")
        steps = (np.arange(side) + 0.5) * modality.gsd
        made[name] = xr.DataArray(
            values.astype("float32") if name != "spot" else np.clip(values, 0, 255).astype("uint8"),
            dims=("time", "band", "y", "x"),
            coords={"time": time, "band": list(modality.bands), "y": 5_000_000 - steps, "x": 600_000 + steps},
        ).assign_coords(spatial_ref=((), 0, {"crs_wkt": "EPSG:32631", "grid_mapping_name": "transverse_mercator"}))
    return made
