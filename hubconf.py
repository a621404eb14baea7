"""`torch.hub.load("…/omnifuse", "load", "tiny-landscape")`: released models, and architectures by name, through torch.hub."""

dependencies = ["torch", "einops", "jaxtyping", "pydantic", "safetensors", "timm", "xarray"]


def load(name, **options):
    """Return a predictor, see `omnifuse.load`."""
    from omnifuse import load

    return load(name, **options)


def create_model(name, **options):
    """Return a model to train, see `omnifuse.create_model`."""
    from omnifuse import create_model

    return create_model(name, **options)
