"""FSDP2: weights, gradients, AdamW's moments and averages lie in pieces, one per process, and a module's weights are whole while it runs.

The loss and its gradient are those of DDP to rounding: every process still runs the whole model on its own places. Parameters of no
axes, such as a temperature, cannot be cut and stay whole on every process; so they may also be used outside `forward`, as
`Comparing.compare` does. No other parameter may.

accelerate's configuration file chooses this strategy, but accelerate does not carry it out: it does without on CPUs, so that nothing could
be tested there, rounds weights themselves to bf16 where this package rounds in autocast alone, and takes the optimizer's groups apart.
"""

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from omnifuse.errors import ConfigError
from omnifuse.objectives.base import Objective

_TRUE = ("1", "true", "yes")


def asked(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the names of the classes that are gathered on their own, if the launcher was asked to shard; None otherwise.

    Read from the environment, where `accelerate launch` leaves its configuration.

    Raises:
        ConfigError: for DeepSpeed, Megatron and FSDP1, and for weights kept on the host.
    """

    def is_set(name: str) -> bool:
        return environment.get(name, "false").lower() in _TRUE

    for name in ("DEEPSPEED", "MEGATRON_LM"):
        if is_set(f"ACCELERATE_USE_{name}"):
            raise ConfigError(f"training: the launcher asks for {name}. Try: pretrain/accelerate/fsdp2.yaml, or one_node_8.yaml (DDP).")
    if not is_set("ACCELERATE_USE_FSDP"):
        return None
    version, offload = environment.get("FSDP_VERSION", "1"), is_set("FSDP_OFFLOAD_PARAMS")
    if version != "2" or offload:
        raise ConfigError(
            f"training: the launcher asks for FSDP with `fsdp_version` {version}{' and `fsdp_offload_params`' if offload else ''}; "
            "expected 2, and no offload. Try: pretrain/accelerate/fsdp2.yaml."
        )
    return tuple(name for name in environment.get("FSDP_TRANSFORMER_CLS_TO_WRAP", "").replace(" ", "").split(",") if name)


def shard(objective: Objective, classes: Sequence[str], device: torch.device) -> Objective:
    """Return a copy of `objective` on `device` whose parameters lie in pieces; its weights are those of rank 0.

    Each module of a class in `classes` is gathered on its own, when it runs, and so is what remains. Such a module must run equally
    often on all processes, whatever their places. `objective` itself stays whole and becomes what is evaluated and handed out.

    Raises:
        ConfigError: where `classes` names none of its modules.
    """
    trained = copy.deepcopy(objective).to(device)
    for module, own in zip(objective.modules(), trained.modules(), strict=True):
        if module._compiled_call_impl is not None:  # a copy does not keep that it is compiled
            own.compile(dynamic=True)
    for tensor in (*trained.parameters(), *trained.buffers()):
        dist.broadcast(tensor.detach(), 0)
    units = [module for module in trained.modules() if type(module).__name__ in classes and module is not trained]
    if classes and not units:
        raise ConfigError(
            f"training: `fsdp_transformer_layer_cls_to_wrap` names {', '.join(classes)}; the model has "
            f"{', '.join(sorted({type(module).__name__ for module in trained.modules()}))}. Try: those of its encoders and their blocks."
        )
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view")  # nothing here changes the maps of an encoder in place
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    scalars = {parameter for parameter in trained.parameters() if parameter.ndim == 0}
    for module in [*reversed(units), trained]:  # inner ones first
        fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=scalars)
    return trained


def is_sharded(model: Any) -> bool:
    """Whether `model` came from `shard`."""
    return isinstance(model, FSDPModule)


@contextmanager
def unaveraged(model: FSDPModule) -> Iterator[None]:
    """Add gradients up on each process by itself inside a `with` block, as DDP's `no_sync`."""
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def average_scalars(model: nn.Module) -> None:
    """Average over processes the gradients of what is not in pieces. Once per update.

    Raises:
        ConfigError: where a parameter has no gradient: torch did not see the loss in what `forward` returned.
    """
    without = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    if without:
        raise ConfigError(
            f"training: FSDP2 of torch {torch.__version__} brought no gradient to {len(without)} parameters ({', '.join(without[:3])}). "
            "Try: torch 2.15, which this is tested with, or pretrain/accelerate/one_node_8.yaml (DDP)."
        )
    gradients = [p.grad for p in model.parameters() if p.grad is not None and not isinstance(p, DTensor)]
    if gradients:
        mean = torch.stack(gradients) / dist.get_world_size()
        dist.all_reduce(mean)
        torch._foreach_copy_(gradients, list(mean.unbind()))


def piece(tensor: Tensor) -> Tensor:
    """Return this process's part, in the same memory; all of it where the tensor is whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def divided(tensor: Tensor, like: Tensor | None) -> Tensor:
    """Return `tensor`, whole on every process, in the pieces of `like`; itself where `like` is whole or of another shape."""
    if not isinstance(like, DTensor) or like.shape != tensor.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def gathered(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Put the pieces together, one tensor after another; a process that keeps them gets them on the host, the others get none.

    A collective call where any tensor is in pieces.
    """
    found = {}
    for name, tensor in tensors.items():
        whole = tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
        if keep:
            found[name] = whole
    return found


@torch.no_grad()
def fill(objective: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put the pieces together in the weights of a whole objective, on every process. A collective call."""
    for name, own in objective.state_dict().items():
        tensor = tensors[name]
        own.copy_(tensor.full_tensor() if isinstance(tensor, DTensor) else tensor)


def norm_of(gradients: Sequence[Tensor]) -> Tensor:
    """Return the norm of all gradients together; a collective call where any is in pieces."""
    pieces = [piece(gradient) for gradient in gradients if isinstance(gradient, DTensor)]
    whole = torch.nn.utils.get_total_norm([gradient for gradient in gradients if not isinstance(gradient, DTensor)])
    if not pieces:
        return whole
    squares = torch.nn.utils.get_total_norm(pieces).square()
    dist.all_reduce(squares)
    return (squares + whole.to(squares.device).square()).sqrt()
