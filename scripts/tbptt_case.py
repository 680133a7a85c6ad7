"""Trains an LSTM by truncated BPTT, under Lightning or in a loop written by hand, for `benchmark_tbptt.py`.

    python scripts/tbptt_case.py                    # CPU microseconds per chunk above the hand-written loop
    python scripts/tbptt_case.py MODE STEPS BATCHES # memory and microseconds per step; MODE: tbptt, plain loop, full

The script imports only the models, so that it also runs with other versions of the package.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from torch.nn import functional as F
from torch.utils.data import DataLoader

from rnn_lightning.models import Seq2Seq, TruncatedBPTT

QUIET: dict[str, Any] = {
    **{"accelerator": "cpu", "logger": False, "enable_checkpointing": False},
    **{"enable_progress_bar": False, "enable_model_summary": False},
}
"""A trainer's arguments for training and nothing else."""


class Size(NamedTuple):
    """B, H and k1 = k2."""

    rows: int = 32
    hidden: int = 128
    k: int = 100

    def batch(self, steps: int) -> dict[str, torch.Tensor]:
        return {"x": torch.randn(self.rows, steps, 1), "y": torch.randn(self.rows, steps, 1)}


class Timed(Seq2Seq):
    """The network, trained in chunks or on whole sequences, which records the seconds of each batch."""

    def __init__(self, mode: str, size: Size, clock: Callable[[], float]) -> None:
        torch.manual_seed(0)
        tbptt = None if mode == "full" else TruncatedBPTT(size.k)
        optimizer = lambda parameters: torch.optim.SGD(parameters, 0.01)  # noqa: E731
        super().__init__(1, 1, cell="lstm", hidden_size=size.hidden, tbptt=tbptt, optimizer=optimizer)
        self.seconds: list[float] = []
        self.clock = clock

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Runs the base class's step, and records its time."""
        start = self.clock()
        result = super().training_step(batch, batch_idx)
        self.seconds.append(self.clock() - start)
        return result


def run(
    mode: str,
    batches: list[dict[str, torch.Tensor]],
    size: Size = Size(),  # noqa: B008  # a constant
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Returns the seconds of each batch, inside `Trainer.fit` or in a hand-written loop over the same network."""
    model = Timed(mode, size, clock)
    if mode != "plain loop":
        Trainer(max_epochs=1, **QUIET).fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
        return model.seconds
    net = model.net.train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for batch in batches:
        start, state = clock(), None
        for x, y in zip(batch["x"].split(size.k, 1), batch["y"].split(size.k, 1), strict=True):
            optimizer.zero_grad()
            y_hat, state = net(x, state)
            F.mse_loss(y_hat, y).backward()
            optimizer.step()
            state = tuple(s.detach() for s in state)
        model.seconds.append(clock() - start)
    return model.seconds


def overhead(chunks: int = 100, rounds: int = 5) -> dict[str, float]:
    """CPU microseconds per chunk in the hand-written loop, and what ours adds; the fastest of alternating batches."""
    size = Size(rows=4, hidden=8, k=10)  # small, so that the overhead is not lost in the recurrence's noise
    torch.set_num_threads(1)
    batches = [size.batch(chunks * size.k)] * 4
    best = {"tbptt": float("inf"), "plain loop": float("inf")}
    for _ in range(rounds):
        for mode in best:
            best[mode] = min(best[mode], *run(mode, batches, size, time.process_time)[1:])
    plain, ours = (1e6 * best[mode] / chunks for mode in ("plain loop", "tbptt"))
    return {"plain loop": plain, "above": ours - plain}


def case(mode: str, steps: int, batches: int) -> dict[str, float]:
    """The peak of memory beyond the input, and the time of a step. The first of several batches does not count."""
    import resource  # not on Windows

    size = Size()
    batch = size.batch(steps)
    # The warm-up comes after the input, which would otherwise reuse memory that the warm-up has freed.
    run(mode, [size.batch(2 * size.k)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = run(mode, [batch] * batches)
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"bytes": 1024 * more, "microseconds a step": 1e6 * min(seconds[1:] or seconds) / steps}


if __name__ == "__main__":
    found = case(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])) if sys.argv[1:] else overhead()
    print(json.dumps(found))
