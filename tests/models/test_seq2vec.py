import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from rnn_lightning import ArgumentError
from rnn_lightning.models import Seq2Vec, TruncatedBPTT
from rnn_lightning.models.batches import as_batch
from rnn_lightning.nn import DropoutMasks


def seq2vec(cell="gru", **arguments):
    torch.manual_seed(3)
    return Seq2Vec(3, 4, cell=cell, hidden_size=5, num_layers=2, **arguments).double()


def batch(rows=4, steps=11, **more):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(rows, steps, 3, generator=generator, dtype=torch.float64)
    return {"x": x, "y": torch.randint(4, (rows,), generator=generator), **more}


def row_by_row(net, data, k2):
    """The mean loss, each row alone, step by step, with a graph over its own last k2 steps."""
    losses = []
    lengths = data.get("lengths", torch.full((len(data["x"]),), data["x"].shape[1]))
    for x, y, length in zip(data["x"], data["y"], lengths.tolist(), strict=True):
        state = None
        for t in range(length):
            with torch.set_grad_enabled(t >= length - k2):
                _output, state = net.layers.step(x[None, t], state)
        h = state[0] if isinstance(state, tuple) else state
        losses.append(F.cross_entropy(net.head(h[-1]), y[None]))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("lengths", [None, [11, 1, 7, 3]])
@pytest.mark.parametrize(("k1", "k2"), [(1, 1), (3, 4), (4, 6), (5, 11), (20, 20)])
def test_the_gradient_goes_back_k2_steps_from_each_rows_own_end(cell, lengths, k1, k2, gradients_of):
    data = batch() if lengths is None else batch(lengths=torch.tensor(lengths))
    module = seq2vec(cell, tbptt=TruncatedBPTT(k1, k2))
    loss = row_by_row(copy.deepcopy(module.net), data, k2)
    wanted = torch.autograd.grad(row_by_row(module.net, data, k2), list(module.net.parameters()))
    (found,) = gradients_of(module, [data], precision="64-true")
    for gradient, reference in zip(found.values(), wanted, strict=True):
        torch.testing.assert_close(gradient, reference)
    assert module.trainer.callback_metrics["train/loss"].item() == pytest.approx(loss.item(), rel=1e-6)


def evaluated(module, data):
    """The outputs and the final state in evaluation."""
    with torch.no_grad():
        _, outputs, state = module._predict(data, 0, 0)
    return outputs["prediction"], state


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 12),
    st.integers(0, 6),
    st.one_of(st.none(), st.lists(st.integers(1, 9), min_size=3, max_size=3)),
)
def test_evaluation_in_chunks_equals_the_whole(k1, more, lengths):
    data = batch(3, 9) if lengths is None else batch(3, 9, lengths=torch.tensor(lengths))
    whole, chunked = seq2vec().eval(), seq2vec(tbptt=TruncatedBPTT(k1, k1 + more)).eval()
    for wanted, found in zip(evaluated(whole, data), evaluated(chunked, data), strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("variational", [False, True])
def test_masks_serve_the_steps_without_a_graph_too(variational, fit):
    """The state that the pass with a graph begins with is that of the whole run under the same masks."""
    sgd = {"optimizer": lambda p: torch.optim.SGD(p, 0.0)}
    module, seen, data = (
        seq2vec(state_dropout=0.5, variational=variational, tbptt=TruncatedBPTT(2, 3), **sgd),
        [],
        batch(),
    )
    chunk_step = module.chunk_step
    module.chunk_step = lambda chunk, state: seen.append((chunk, state)) or chunk_step(chunk, state)
    drawn = []
    sample_masks = module.net.sample_masks
    module.net.sample_masks = lambda *shape: drawn.append(sample_masks(*shape)) or drawn[-1]
    fit(module, [data], precision="64-true")
    ((chunk, state),) = seen
    assert torch.equal(chunk["x"], data["x"][:, 8:])
    assert len(drawn) == (1 if variational else 5)
    masks = drawn[0] if variational else DropoutMasks.cat(drawn).narrow(0, 8)
    torch.testing.assert_close(state, module.net.layers(data["x"][:, :8], None, None, masks)[1])


@pytest.mark.parametrize("step_every", ["chunk", "batch", 2])
def test_one_step_a_batch_or_group(step_every, fit):
    module = seq2vec(tbptt=TruncatedBPTT(3, step_every=step_every))
    trainer = fit(module, [batch()] * 4, precision="64-true")
    assert trainer.global_step == (2 if step_every == 2 else 4)


def test_one_step_a_batch_with_k2_over_all_is_full_bptt(fit):
    full, truncated = seq2vec(), seq2vec(tbptt=TruncatedBPTT(4, 11, step_every="batch"))
    for module in (full, truncated):
        fit(module, [batch(), batch()], precision="64-true")
    assert all(torch.equal(a, b) for a, b in zip(full.parameters(), truncated.parameters(), strict=True))


def test_regression_takes_values():
    torch.manual_seed(0)
    module = Seq2Vec(3, 2, task="regression", hidden_size=5)
    x, y = torch.randn(4, 6, 3), torch.randn(4, 2)
    loss_sum, targets, *_ = module.chunk_step(as_batch((x, y)), None)
    torch.testing.assert_close(loss_sum / targets, F.mse_loss(module(x)[0], y))


def test_a_mask_has_no_place_here():
    module = seq2vec()
    with pytest.raises(ArgumentError, match="mask"):
        module.prepare_batch(batch(mask=torch.ones(4, 11, dtype=torch.bool)))
