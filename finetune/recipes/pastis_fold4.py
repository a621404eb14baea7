"""Crops of PASTIS from Sentinel-2 by the published U-TAE: row 4 of the five folds (train | watched | tested: 4, 5, 1 | 2 | 3).

omnifuse data convert pastis PASTIS stores/pastis
omnifuse finetune finetune/recipes/pastis_fold4.py [--init runs/pretrain/pastis_r_infonce/pretrained]
omnifuse evaluate 'runs/finetune/pastis_fold*' stores/pastis --protocol pastis

36,300 updates of 4 places; published: 63.1 mIoU over all five folds (arXiv:2107.07933). Cost: some half a day on one V100-class GPU is a
guess from what the published code says of its panoptic model (12 h a fold). Not run at this size by this project: no figure is claimed.
A pretraining has to be on the same row, or it has seen images of the tested fold: that of the recipe is on row 1.
"""

from omnifuse.runs.published import pastis_fold

config = pastis_fold(4)
