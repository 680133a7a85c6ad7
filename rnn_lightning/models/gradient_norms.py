"""`gradient_norms` shows how far gradients reach.

It computes the norm of dLoss/dh_t for each layer and each time step t, truncated as in training.

Legend: B batch, T time steps, H hidden units, L layers.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnn_lightning.batch import Batch
from rnn_lightning.models.batches import begun, cut, present
from rnn_lightning.models.plan import Span
from rnn_lightning.models.sequence_module import SequenceModule
from rnn_lightning.nn.dropout import without_dropout
from rnn_lightning.nn.lengths import length_mask
from rnn_lightning.nn.state import map_state
from rnn_lightning.nn.unrolled import Unrolled, unrolled


class GradientNorms(NamedTuple):
    """Norms of the gradients that reach each time step, averaged over the sequences that have not ended by then.

    Attributes:
        last: (L, T), for the loss of each sequence's last target alone; it shows where gradients vanish or explode on
            the way back.
        every: (L, T), for the sum of the losses of all targets, as in training.
    """

    last: Tensor
    every: Tensor


def gradient_norms(module: SequenceModule, batch: Batch) -> GradientNorms:
    """Measures dLoss/dh_t on a batch, over the passes that truncated BPTT makes in training, at fixed weights.

    The network runs without dropout, step by step, from the batch's `state` or from zeros. No parameter keeps a
    gradient, and no random numbers are drawn.

    Args:
        module: `Seq2Vec` or `Seq2Seq`.
        batch: From `prepare_batch`, with targets, on the module's device.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # These are copies, as tensors from validation may not allow gradients.
        batch = map_state(Tensor.clone, batch)
        x = module.net.embed(batch["x"])
        batch["x"] = x = x.detach().to(next(module.parameters()).dtype)  # (B, T, I)
        rows, steps, layers = len(x), x.shape[1], module.net.layers
        shape = (layers.num_layers, 2 if layers.bidirectional else 1, steps, rows, layers.hidden_size)
        last, every = x.new_zeros(shape), x.new_zeros(shape)  # gradients
        state, at = begun(batch, batch.get("state")), 0
        for current in module.plan(batch, training=True):
            restart = (Span(at, current.begin),) if current.begin > at else ()
            with torch.no_grad(), without_dropout(layers):
                for span in (*restart, *current.dark):
                    before = cut(batch, span, module.time_keys)
                    state = layers(before["x"], state, **present(before, "lengths", "reset"))[1]
            at = current.begin
            graph = current.graph
            chunk = cut(batch, graph, module.time_keys)
            run = unrolled(layers, chunk["x"], state, **present(chunk, "lengths", "reset"))
            times = _times(graph, rows, steps, x.device)
            for into, loss in zip(
                (last, every), _losses(module, batch, current.spans[0].start, graph, run), strict=True
            ):
                _add(into, loss, run, times)
        alive = torch.ones(rows, steps, device=x.device)
        if batch.get("lengths") is not None:
            alive = length_mask(batch["lengths"], steps, x.device).float()
    return GradientNorms(_norms(last, alive), _norms(every, alive))


def _times(span: Span, rows: int, steps: int, device: torch.device) -> Tensor:
    """Returns the time steps (B, t) that a span takes from each row of the batch."""
    begins = torch.full((rows,), span.start) if span.begins is None else span.begins
    times = begins[:, None] + torch.arange(span.stop - span.start)
    return times.clamp(max=steps - 1).to(device)  # there is no gradient past a row's end


def _losses(module: SequenceModule, batch: Batch, start: int, graph: Span, run: Unrolled) -> tuple[Tensor, Tensor]:
    """Sums, over the sequences, the losses of the last targets, and those of all targets from `start` on."""
    objective, y_hat, valid = module.objective, module.net.read(run.output, run.state), module.valid(batch)
    if y_hat.dim() == 2:  # one target per sequence
        loss = objective.loss_sum(y_hat, objective.prepare(y_hat, batch["y"], valid), valid)
        return loss, loss
    steps = torch.arange(batch["x"].shape[1], device=batch["x"].device)
    valid = torch.ones(len(batch["x"]), len(steps), dtype=torch.bool, device=steps.device) if valid is None else valid
    some = valid if valid.dim() == 2 else valid.any(-1)  # (B, T)
    ends = torch.where(some, steps, -1).amax(dim=1, keepdim=True)  # (B, 1), the step of each row's last target
    inside = slice(start, graph.stop)
    last = valid & (steps == ends).view(*ends.shape[:1], -1, *[1] * (valid.dim() - 2))
    y_hat, valid, last = y_hat[:, start - graph.start :], valid[:, inside], last[:, inside]
    y = objective.prepare(y_hat, batch["y"][:, inside], valid)
    return objective.loss_sum(y_hat, y, last), objective.loss_sum(y_hat, y, valid)


def _add(gradients: Tensor, loss: Tensor, run: Unrolled, times: Tensor) -> None:
    """Adds a pass's gradients. Passes that share time steps have separate graphs, so their gradients are summed."""
    places = [
        ((layer, direction, t), h)
        for layer, hidden in enumerate(run.hidden)
        for t, pair in enumerate(hidden)
        for direction, h in enumerate(pair)
    ]
    found = torch.autograd.grad(loss, [h for _, h in places], retain_graph=True, allow_unused=True)
    rows = torch.arange(len(times), device=times.device)
    for ((layer, direction, t), _), gradient in zip(places, found, strict=True):
        if gradient is not None:
            gradients[layer, direction].index_put_((times[:, t], rows), gradient.detach(), accumulate=True)


def _norms(gradients: Tensor, alive: Tensor) -> Tensor:
    """Computes norms (L, T) over both directions' hidden units, averaged over the sequences that have not ended."""
    norms = gradients.double().square().sum(dim=(1, 4)).sqrt().cpu()  # (L, T, B)
    alive = alive.T.cpu()  # (T, B)
    return (norms * alive).sum(dim=2) / alive.sum(dim=1).clamp(min=1)
