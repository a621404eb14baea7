"""AdamW, which weights decay, and its state as plain named tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from omnifuse.errors import CheckpointError
from omnifuse.train.config import TrainConfig
from omnifuse.train.sharding import divided, norm_of, piece


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the trainable parameters: weights of linear and convolution layers decay, everything else does not.

    Norms, biases and scales have one axis; a temperature, a learned query, a position or a token is not called `weight`;
    an embedding table is a list of vectors. Shrinking any of these regularises nothing.
    """
    tables = {id(parameter) for module in model.modules() if isinstance(module, nn.Embedding) for parameter in module.parameters()}
    groups: dict[tuple[bool, bool], dict[str, Any]] = {  # torch updates a group at once: what is in pieces is not mixed with what is whole
        (decays, whole): {"params": [], "names": [], "weight_decay": weight_decay * decays}
        for decays in (True, False)
        for whole in (True, False)
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and name.endswith("weight") and id(parameter) not in tables
            group = groups[decays, piece(parameter) is parameter]
            group["params"].append(parameter)
            group["names"].append(name)
    return [group for group in groups.values() if group["params"]]


def build_optimizer(model: nn.Module, config: TrainConfig) -> AdamW:
    """Return AdamW with torch's default betas (arXiv:1711.05101), in its fused form where there is one."""
    fused = all(parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in model.parameters())
    return AdamW(parameter_groups(model, config.weight_decay), lr=config.learning_rate, fused=fused)


def optimizer_tensors(optimizer: AdamW) -> dict[str, Tensor]:
    """Return the state by parameter name, such as `encoder.weight/exp_avg`."""
    return {
        f"{name}/{field}": value
        for group in optimizer.param_groups
        for name, parameter in zip(group["names"], group["params"], strict=True)
        for field, value in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(optimizer: AdamW, tensors: Mapping[str, Tensor], where: str) -> None:
    """Set the state from `optimizer_tensors`; `where` names the file in errors."""
    names = [name for group in optimizer.param_groups for name in group["names"]]
    index = {name: i for i, name in enumerate(names)}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, field = key.rpartition("/")
        if name not in index or (field != "step" and tensor.shape != parameters[index[name]].shape):
            raise CheckpointError(
                f"{where}: optimizer state `{key}` of shape {tuple(tensor.shape)} fits no parameter. "
                "Try: resume with the model that wrote it."
            )
        own = tensor if field == "step" else divided(tensor, parameters[index[name]])
        state.setdefault(index[name], {})[field] = own.clone()  # not the memory of a mapped file that may be deleted
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def set_learning_rate(optimizer: AdamW, value: float) -> None:
    """Set the rate of all groups; the state is untouched."""
    for group in optimizer.param_groups:
        group["lr"] = value


def gradient_norm(optimizer: AdamW, clip_norm: float) -> Tensor:
    """Return the norm of the gradient and scale the gradient down to `clip_norm` (0: leave it)."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = norm_of(gradients)
    scale = ((clip_norm or torch.inf) / (norm + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_([piece(gradient) for gradient in gradients], scale)
    return norm
