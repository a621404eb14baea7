"""Baseline: late fusion of PASTIS-R, a U-TAE for each of Sentinel-2 and both orbits of Sentinel-1, whose logits are averaged.

omnifuse data convert pastis-r PASTIS-R stores/pastis-r
omnifuse finetune finetune/recipes/pastis_r_late.py
omnifuse evaluate runs/finetune/pastis_r_late stores/pastis-r --protocol pastis_fold1

Trained as `pastis_fold1.py`, on row 1 of the five folds. Published, over five folds: 66.3 mIoU (arXiv:2112.07558). Not as published: the
decoder is shared, and there is no auxiliary loss. Cost: about three times `pastis_fold1.py`, a guess. Not run at this size by this
project: no figure is claimed.
"""

from dataclasses import replace

from omnifuse.runs.baselines import PUBLISHED, parts, utae_late
from omnifuse.runs.published import SERIES, pastis_fold
from omnifuse.runs.sources import StoreData

config = replace(
    pastis_fold(1),
    data=StoreData(path="stores/pastis-r"),
    **parts(utae_late(replace(PUBLISHED, series=SERIES), ("s2", "s1_asc", "s1_desc"))),
    folder="runs/finetune/pastis_r_late",
)
