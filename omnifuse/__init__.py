"""omnifuse: one model for any subset of Earth-observation sensors."""

from typing import TYPE_CHECKING, Any

from omnifuse.modalities import MODALITIES, Modality

if TYPE_CHECKING:
    from omnifuse.zoo import create_model, list_models, load

__version__ = "0.1.0"
__all__ = ["MODALITIES", "Modality", "__version__", "create_model", "list_models", "load"]


def __getattr__(name: str) -> Any:
    if name in ("create_model", "list_models", "load"):  # torch is imported when a model is asked for, not by `import omnifuse`
        from omnifuse import zoo

        return getattr(zoo, name)
    raise AttributeError(f"module 'omnifuse' has no attribute {name!r}")
