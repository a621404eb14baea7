"""Contrast of monthly Sentinel-1 and Sentinel-2 series at field points, one pixel each, on folds of whole H3 cells.

omnifuse pretrain pretrain/recipes/worldcereal_pixels.py --data.path FOLDER
"""

from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.contrast import ContrastConfig
from omnifuse.runs.places import AugmentConfig, SplitConfig
from omnifuse.runs.pretraining import PretrainConfig
from omnifuse.runs.sources import WorldCerealPixelsData
from omnifuse.train.config import TrainConfig

# A single pixel: an L-TAE per series, no neighbors to convolve. Heads begin spread over both seasons from January 2017 (day 17167).
SERIES = UTAEConfig(widths=(128,), kernel=1, heads=8, dim=256, dropout=0.3, origin=17167, season=(0, 540))

config = PretrainConfig(
    data=WorldCerealPixelsData(path="worldcereal_pixels"),
    split=SplitConfig(key="fold", train=(2, 3, 4, 5), test=(1,)),
    encoders={"s2": SERIES, "s1": SERIES},
    objective=ContrastConfig(cell_gsd=10.0, num_cells=1, cell_weight=0.0),  # a point is one cell: its place is all there is
    augment=AugmentConfig(date_dropout=0.2, symmetry=False),
    train=TrainConfig(steps=900, batch_size=512, learning_rate=4e-3, warmup_steps=50, evaluate_steps=300, save_steps=300),
    in_memory=True,
    folder="runs/pretrain/worldcereal_pixels",
)
