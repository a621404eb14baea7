"""Baseline: early fusion of PASTIS-R, one U-TAE on Sentinel-2 with both orbits of Sentinel-1 as further bands at its dates.

omnifuse data convert pastis-r PASTIS-R stores/pastis-r
omnifuse finetune finetune/recipes/pastis_r_early.py
omnifuse evaluate runs/finetune/pastis_r_early stores/pastis-r --protocol pastis_fold1

Trained as `pastis_fold1.py`, on row 1 of the five folds. Published, over five folds: 65.9 mIoU (arXiv:2112.07558). A place that lacks one
of the sensors has nothing: no subset of them can be scored. Cost: somewhat more than `pastis_fold1.py`, a guess. Not run at this size by
this project: no figure is claimed.
"""

from dataclasses import replace

from omnifuse.data.stacked import Stack
from omnifuse.runs.baselines import PUBLISHED, parts, utae_early
from omnifuse.runs.published import SERIES, pastis_fold
from omnifuse.runs.sources import StackedData, StoreData

config = replace(
    pastis_fold(1),
    data=StackedData(data=StoreData(path="stores/pastis-r"), stacks=(Stack(series=("s1_asc", "s1_desc")),)),
    **parts(utae_early(replace(PUBLISHED, series=SERIES))),
    folder="runs/finetune/pastis_r_early",
)
