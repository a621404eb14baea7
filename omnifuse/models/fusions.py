"""All fusions behind one contract: a configuration chooses among them by its `kind`."""

from typing import Annotated

from pydantic import Field

from omnifuse.models.fusion import CrossAttentionConfig
from omnifuse.models.fusion_stacked import EarlyConfig, GatedConfig
from omnifuse.models.fusion_weighted import AttentionConfig, LateConfig

FusionConfig = Annotated[
    CrossAttentionConfig | EarlyConfig | LateConfig | GatedConfig | AttentionConfig,
    Field(discriminator="kind"),
]
