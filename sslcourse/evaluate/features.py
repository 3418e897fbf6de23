"""Features of a whole set of images, and those of the random baseline, kept so that protocols share them."""

from __future__ import annotations

import contextlib
import json
import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from sslcourse.data.images import Data, ImageSet, pick_device
from sslcourse.errors import UserError
from sslcourse.nets import random_like

# encoder -> {(id of the image set, device): (the set, weakly; its features)}, of the encoders to remember
_kept: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_baselines: dict[tuple[str, int], nn.Module] = {}


def extract(
    encoder: Callable[[Tensor], Tensor],
    images: ImageSet,
    batch_size: int = 512,
    device: str | torch.device = "auto",
) -> Tensor:
    """Features (N, D) float32 on `device`, in evaluation mode, without gradient or mixed precision.

    The encoder comes back as it was: on its device, every submodule in its own mode. Streaming sets stream.
    """
    device = pick_device(device)
    kept, key = _kept.get(encoder), (id(images), str(device))
    if kept is not None and key in kept and kept[key][0]() is images:
        return kept[key][1]
    if len(images) == 0:
        raise UserError("there are no images to extract features from: this part of the data is empty")
    with _evaluating(encoder, device), torch.no_grad(), torch.autocast(device.type, enabled=False):
        features = None
        for batch, rows, _ in images.batches(batch_size, device=device):
            if batch.dim() != 4:
                raise UserError(f"images of shape {tuple(batch.shape[1:])}: protocols take stills, not clips")
            out = encoder(batch)
            if out.dim() != 2:
                raise UserError(f"the encoder returns {tuple(out.shape)}: protocols need (batch, features)")
            if features is None:
                features = out.new_empty((len(images), out.shape[1]), dtype=torch.float32)
            features[rows] = out.float()
    if not features.isfinite().all():
        raise UserError(
            "the encoder's features are not finite: its weights are damaged or its precision is too low; train it again"
        )
    if kept is not None:
        kept[key] = (weakref.ref(images, lambda _: kept.pop(key, None)), features)
    return features


def splits(encoder: Callable, data: Data, device: torch.device, batch_size: int = 512) -> tuple[Tensor, ...]:
    """Features of train, val and test."""
    return tuple(extract(encoder, part, batch_size, device) for part in (data.train, data.val, data.test))


@contextlib.contextmanager
def _evaluating(encoder: Callable, device: torch.device) -> Iterator[None]:
    """The encoder in evaluation mode on `device`; afterwards as it was."""
    if not isinstance(encoder, nn.Module):
        yield
        return
    modes = [(module, module.training) for module in encoder.modules()]
    home = next((p.device for p in encoder.parameters()), device)
    try:
        encoder.eval()
        if home != device:
            encoder.to(device)
        yield
    finally:
        if home != device:
            encoder.to(home)
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def remember(encoder: Callable) -> Iterator[None]:
    """Within it, features of `encoder` are extracted once per set. The encoder must not learn meanwhile."""
    if encoder in _kept:
        yield
        return
    _kept[encoder] = {}
    try:
        yield
    finally:
        _kept.pop(encoder, None)


def baseline(encoder: Callable, seed: int = 0, wanted: bool = True) -> nn.Module | None:
    """The encoder's architecture at random initialisation; None if unwanted, or if `encoder` is no module.

    One per (architecture, seed): its features are kept as long as the image sets live.
    """
    if not wanted or not isinstance(encoder, nn.Module):
        return None
    if not getattr(encoder, "spec", None):
        return random_like(encoder, seed)
    key = (json.dumps(encoder.spec, sort_keys=True, default=str), seed)
    if key not in _baselines:
        _baselines[key] = random_like(encoder, seed)
        _kept[_baselines[key]] = {}
    return _baselines[key]


class Layer(nn.Module):
    """One entry of `encoder.layers(images)`, averaged over places: (B, 3, H, W) -> (B, C)."""

    def __init__(self, encoder: nn.Module, name: str):
        super().__init__()
        self.encoder, self.name = encoder, name

    def forward(self, images: Tensor) -> Tensor:
        layers = self.encoder.layers(images)
        if self.name not in layers:
            raise UserError(f"the encoder has no layer {self.name!r}: use one of {', '.join(layers)}")
        return layers[self.name].mean((2, 3)) if layers[self.name].dim() == 4 else layers[self.name].mean(1)
