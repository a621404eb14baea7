"""A label that is no class ends a fine-tuning or an evaluation in one sentence that names the place and the value."""

from dataclasses import replace as changed

import numpy as np
import pytest

from omnifuse.data.landscape import Landscape, LandscapeConfig
from omnifuse.data.target_rules import DominantConfig, TargetConfig
from omnifuse.errors import InputError
from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.heads import PlaceConfig, SegmentationConfig
from omnifuse.models.utae import UTAEConfig
from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.runs.finetuning import FinetuneConfig, finetune
from omnifuse.runs.places import SplitConfig
from omnifuse.runs.sources import LandscapeData
from omnifuse.train.config import TrainConfig

DATA = LandscapeConfig(places=4, size=16, hr=4, sensors=("s2",))


class Wrong(Landscape):
    """A landscape with a label 99 at place 2."""

    def read(self, index, sensors):
        place = super().read(index, sensors)
        return changed(place, target=np.where(np.arange(16) == 3, 99, place.target).astype(np.int64)) if index == 2 else place


@pytest.mark.parametrize("rules", [(), (DominantConfig(),)], ids=["maps", "places"])
def test_a_label_that_is_no_class_is_named_with_its_place(rules: tuple[TargetConfig, ...], tmp_path):
    source = Wrong(DATA)
    source.info = [row | {"fold": 5 if i == 1 else 1} for i, row in enumerate(source.info)]
    places = (
        {"head": PlaceConfig(dim=8), "objective": ClassifyConfig(), "target": rules} if rules else {"head": SegmentationConfig(dims=(8,))}
    )
    config = FinetuneConfig(
        data=LandscapeData(landscape=DATA),
        split=SplitConfig(key="fold", train=(1,), test=(5,)),
        encoders={"s2": UTAEConfig(widths=(8, 16), heads=2, dim=16)},
        fusion=CrossAttentionConfig(gsds=(20.0, 10.0), dims=(16, 8), heads=2, depth=1),
        train=TrainConfig(steps=2, batch_size=3),
        folder=str(tmp_path / "run"),
        **places,
    )
    with pytest.raises(InputError, match=rf"{source.info[2]['id']}.*label 99"):
        finetune(config, source)
