"""How far gradients reach: the norm of dLoss/dh_t against t, per layer, cut where the training cuts it.

Legend: B batch, T time steps, H hidden units, L layers.
"""

from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from rnn_lightning.models import Batch, Seq2Vec, SequenceModule
from rnn_lightning.models.batch import cut
from rnn_lightning.models.chunks import Window, whole, windows
from rnn_lightning.nn import Unrolled, unrolled, without_dropout

Place: TypeAlias = tuple[int, int, int]
"""Layer, time step, direction."""


class Reach(NamedTuple):
    """Norms of the gradients that reach each time step, the mean over the sequences that are still running there.

    Attributes:
        last: (L, T), of the loss of each sequence's last target alone: what vanishes or explodes on the way back.
        every: (L, T), of the sum of the losses of all targets, as the training adds them up.
    """

    last: Tensor
    every: Tensor


def gradient_reach(module: SequenceModule, batch: Batch) -> Reach:
    """Measures dLoss/dh_t on a batch, over the passes that truncated BPTT makes in training, at fixed weights.

    The network runs without dropout, step by step from a state of zeros. No gradient is left on any parameter, and no
    random number is drawn.

    Args:
        module: `Seq2Vec` or `Seq2Seq`.
        batch: From `prepare_batch`, with targets, on the module's device.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # Copies: the tensors of a validation may be such that no gradient can be taken with them.
        batch = {key: value.clone() if isinstance(value, Tensor) else value for key, value in batch.items()}
        batch["x"] = x = batch["x"].to(next(module.parameters()).dtype)  # (B, T, I)
        rows, steps, layers = len(x), x.shape[1], module.net.layers
        last: dict[Place, Tensor] = {}  # gradients (B, H)
        every: dict[Place, Tensor] = {}
        state, at = None, 0
        for window in reach_windows(module, batch):
            if window.begin > at:
                with torch.no_grad(), without_dropout(layers):
                    before = cut(batch, at, window.begin, module.time_keys)
                    state, at = layers(before["x"], state, before.get("lengths"))[1], window.begin
            graph = cut(batch, window.begin, window.stop, module.time_keys)
            run = unrolled(layers, graph["x"], state, graph.get("lengths"))
            of_last, of_every = _losses(module, batch, window, run)
            _add(last, of_last, run, window.begin, keep_graph=True)
            _add(every, of_every, run, window.begin, keep_graph=False)
        alive = torch.ones(rows, steps, device=x.device)
        if batch.get("lengths") is not None:
            alive = (torch.arange(steps, device=x.device) < batch["lengths"].to(x.device)[:, None]).float()
        reached = alive * _uncut(module, batch)
        norms = [_norms(gradients, layers.num_layers, reached, alive) for gradients in (last, every)]
    return Reach(*norms)


def reach_windows(module: SequenceModule, batch: Batch) -> list[Window]:
    """The passes of training over a batch; with one loss at the end, the one pass over what can be reached from there."""
    steps = batch["x"].shape[1]
    if module.tbptt is None:
        return [whole(steps)]
    if isinstance(module, Seq2Vec):
        ends = _ends(batch)
        return [Window(max(0, int(ends.min()) - module.tbptt.back), 0, steps, (steps,))]
    return list(windows(steps, module.tbptt.k1, module.tbptt.back))


def _ends(batch: Batch) -> Tensor:
    """(B,) each sequence's number of steps."""
    x, lengths = batch["x"], batch.get("lengths")
    return torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths.to(x.device)


def _uncut(module: SequenceModule, batch: Batch) -> Tensor:
    """(B, T), 1 where a gradient may arrive: with one loss at the end, the last k2 steps of each sequence."""
    steps = torch.arange(batch["x"].shape[1], device=batch["x"].device)
    if module.tbptt is None or not isinstance(module, Seq2Vec):
        return torch.ones_like(steps, dtype=torch.float32)[None]
    return (steps >= (_ends(batch) - module.tbptt.back)[:, None]).float()


def _losses(module: SequenceModule, batch: Batch, window: Window, run: Unrolled) -> tuple[Tensor, Tensor]:
    """The loss of each sequence's last target and that of all targets on [start, stop), summed over the sequences."""
    objective, net = module.objective, module.net
    if isinstance(module, Seq2Vec):
        h = run.state[0] if isinstance(run.state, tuple) else run.state
        y_hat = net.head(torch.cat((h[-2], h[-1]), dim=-1) if net.layers.bidirectional else h[-1])
        loss = objective.loss_sum(y_hat, objective.prepare(y_hat, batch["y"], None), None)
        return loss, loss
    steps = torch.arange(batch["x"].shape[1], device=batch["x"].device)
    valid = module.valid(batch)
    valid = torch.ones(len(batch["x"]), len(steps), dtype=torch.bool, device=steps.device) if valid is None else valid
    ends = torch.where(valid, steps, -1).amax(dim=1, keepdim=True)  # (B, 1), the step of each row's last target
    inside = slice(window.start, window.stop)
    y_hat = net.head(run.output[:, window.start - window.begin :])
    y = objective.prepare(y_hat, batch["y"][:, inside], valid[:, inside])
    last = valid & (steps == ends)
    return objective.loss_sum(y_hat, y, last[:, inside]), objective.loss_sum(y_hat, y, valid[:, inside])


def _add(gradients: dict[Place, Tensor], loss: Tensor, run: Unrolled, begin: int, keep_graph: bool) -> None:
    """Adds a pass's gradients: passes that share time steps each have their own graph, and the weights get the sum."""
    places = [
        ((layer, begin + t, direction), h)
        for layer, hidden in enumerate(run.hidden)
        for t, pair in enumerate(hidden)
        for direction, h in enumerate(pair)
    ]
    found = torch.autograd.grad(loss, [h for _, h in places], retain_graph=keep_graph, allow_unused=True)
    for (place, _), gradient in zip(places, found, strict=True):
        if gradient is not None:
            gradients[place] = gradients[place] + gradient if place in gradients else gradient


def _norms(gradients: dict[Place, Tensor], layers: int, reached: Tensor, alive: Tensor) -> Tensor:
    """(L, T), the mean over the sequences alive of the norm over both directions' hidden units."""
    squares = torch.zeros(layers, *alive.T.shape, dtype=torch.float64)  # (L, T, B)
    for (layer, t, _), gradient in gradients.items():
        squares[layer, t] += gradient.detach().double().square().sum(dim=1).cpu()
    reached, alive = reached.T.cpu(), alive.T.cpu()  # (T, B)
    return (squares.sqrt() * reached).sum(dim=2) / alive.sum(dim=1).clamp(min=1)
