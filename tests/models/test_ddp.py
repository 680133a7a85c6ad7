"""Two gloo processes against one on the joined batch."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from rnn_lightning.models import Seq2Seq, Seq2Vec, TruncatedBPTT


def first(items):
    return items[0]


def join(a, b):
    """Two ranks' batches as one; the shorter sequences are padded."""
    steps = max(a["x"].shape[1], b["x"].shape[1])

    def pad(tensor):
        return torch.nn.functional.pad(tensor, (0, 0, 0, steps - tensor.shape[1]))

    joined = {"x": torch.cat((pad(a["x"]), pad(b["x"]))), "lengths": torch.cat((a["lengths"], b["lengths"]))}
    joined["y"] = torch.cat((pad(a["y"]), pad(b["y"])) if a["y"].dim() == 3 else (a["y"], b["y"]))
    return joined


def batches(model, rank):
    """Three batches; the ranks have other numbers of rows, of steps and of chunks."""
    generator = torch.Generator().manual_seed(10 + rank)
    result = []
    for rows, steps in ((3, 4 + 7 * rank), (1 + rank, 9), (2, 12 - 8 * rank)):
        lengths = torch.randint(1, steps + 1, (rows,), generator=generator)
        lengths[0] = steps
        y = torch.randn(rows, steps, 1, generator=generator, dtype=torch.float64)
        if model is Seq2Vec:
            y = torch.randint(2, (rows,), generator=generator)
        x = torch.randn(rows, steps, 1, generator=generator, dtype=torch.float64)
        result.append({"x": x, "y": y, "lengths": lengths})
    return result


class OnRank:
    """Mixed into a model: each rank has its own batches, and writes its weights in the end."""

    folder = None

    def train_dataloader(self):
        model = Seq2Vec if isinstance(self, Seq2Vec) else Seq2Seq
        if self.trainer.world_size == 2:
            data = batches(model, self.trainer.global_rank)
        else:
            data = [join(a, b) for a, b in zip(batches(model, 0), batches(model, 1), strict=True)]
        return DataLoader(data, batch_size=1, collate_fn=first)

    def on_train_end(self):
        metrics = self.trainer.callback_metrics
        results = {
            **self.state_dict(),
            "score": metrics.get(f"train/{self.objective.metric}"),
            "loss": metrics["train/loss"],
        }
        torch.save(results, f"{self.folder}/{self.trainer.world_size}_{self.trainer.global_rank}.pt")


class RankedSeq2Seq(OnRank, Seq2Seq):
    """One output a step."""


class RankedSeq2Vec(OnRank, Seq2Vec):
    """One output a sequence."""


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1)


def errors(y_hat, y):
    """A loss of one's own, a mean."""
    return (y_hat - y).abs().mean()


TWO = "ddp_spawn" if torch.cuda.is_available() else "ddp_fork"  # CUDA's threads allow no fork
WEIGHTED = torch.nn.CrossEntropyLoss(weight=torch.tensor([0.1, 3.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("model", "step_every", "loss"),
    [
        (RankedSeq2Seq, "chunk", None),
        pytest.param(RankedSeq2Seq, 2, None, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Vec, "batch", None, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Seq, "batch", None, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Seq, None, None, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Vec, "chunk", None, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Vec, None, WEIGHTED, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Vec, "batch", WEIGHTED, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Seq, 2, errors, marks=pytest.mark.slow),
        pytest.param(RankedSeq2Seq, "chunk", "HuberLoss", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:.*use of fork")  # later Pythons, of threads that the tests have
def test_two_processes_take_the_steps_of_one_on_the_joined_batch(model, step_every, loss, tmp_path):
    for devices in (2, 1):
        torch.manual_seed(0)
        tbptt = TruncatedBPTT(3, 5, step_every, gradient_clip_val=0.5) if step_every else None
        module = model(
            1, 1 if model is RankedSeq2Seq else 2, cell="gru", hidden_size=4, tbptt=tbptt, optimizer=sgd, loss=loss
        )
        module.folder = str(tmp_path)
        Trainer(
            accelerator="cpu",
            devices=devices,
            strategy=TWO if devices == 2 else "auto",
            use_distributed_sampler=False,
            precision="64-true",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module)
    weights = [torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("2_0", "2_1", "1_0")]
    assert weights[0]["score"].item() == pytest.approx(weights[2]["score"].item(), rel=1e-6)
    assert weights[0]["loss"] == weights[1]["loss"]
    assert weights[0]["loss"].item() == pytest.approx(weights[2]["loss"].item(), rel=1e-6)
    for name, value in weights[0].items():
        if name.startswith("net."):
            assert torch.equal(value, weights[1][name]), f"the ranks differ in {name}"
            torch.testing.assert_close(value, weights[2][name], rtol=1e-9, atol=1e-12)
