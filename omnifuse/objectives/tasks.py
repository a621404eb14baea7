"""What a model can be trained for on labels."""

from typing import Annotated

from pydantic import Field

from omnifuse.objectives.classification import ClassifyConfig
from omnifuse.objectives.regression import RegressConfig
from omnifuse.objectives.segmentation import SegmentConfig

TaskConfig = Annotated[SegmentConfig | ClassifyConfig | RegressConfig, Field(discriminator="kind")]
