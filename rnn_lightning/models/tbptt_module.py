"""`TruncatedBPTTModule`: truncated backpropagation through time for any LightningModule.

Legend: B batch (rows), T time steps.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import MeanMetric

from rnn_lightning.errors import ArgumentError, NonFiniteLossError
from rnn_lightning.models.batch import Batch, as_batch, cut
from rnn_lightning.models.carry import CarriedStates
from rnn_lightning.models.chunks import MaskTape, Window, whole, windows
from rnn_lightning.models.optimizer_steps import OptimizerSteps
from rnn_lightning.models.resume import ResumableModule
from rnn_lightning.models.schedulers import LRInterval, check_total_steps, step_plateaus, step_schedulers
from rnn_lightning.models.trainer_check import check_trainer
from rnn_lightning.models.truncated_bptt import TruncatedBPTT
from rnn_lightning.nn import DropoutMasks, detach_state, reset_rows

ChunkStep: TypeAlias = Callable[[Batch, Any], tuple[Tensor, Tensor | int, Any]]
"""(chunk, state) -> (sum of losses, number of valid targets, state at the chunk's end)."""


class TruncatedBPTTModule(ResumableModule):
    """A LightningModule that is trained, validated and tested chunk by chunk. You write `chunk_step`; it does the rest.

    With `tbptt` the training runs by manual optimisation: forward over k1 steps, backward over at most k2, an optimizer
    step after each chunk, batch or number of batches, with clipping, mixed precision, schedulers and several devices as
    they should be. Without it the whole batch is one chunk under automatic optimisation, and every Trainer feature works.

    Args:
        tbptt: How to truncate; None for full backpropagation through time.
        carry_state: Whether row i of a batch goes on where row i of the batch before ended. The state is carried
            detached, reset where the batch's `reset` says that a sequence begins, and at the start of each epoch.
        lr_interval: When a scheduler steps: after each `"epoch"`, `"batch"`, or optimizer `"step"`. Without `tbptt`,
            Lightning's automatic optimisation has one interval, "step", for the latter two.
    """

    time_keys: tuple[str, ...] = ("x", "y", "mask")
    """The keys of a batch whose second dimension is time."""

    def __init__(
        self, tbptt: TruncatedBPTT | None = None, carry_state: bool = False, lr_interval: LRInterval = "epoch"
    ) -> None:
        super().__init__()
        if lr_interval not in ("epoch", "batch", "step"):
            raise ArgumentError(f'lr_interval={lr_interval!r} is unknown: choose "epoch", "batch" or "step"')
        if tbptt is not None and not isinstance(tbptt, TruncatedBPTT):
            raise ArgumentError(f"tbptt={tbptt!r}: give TruncatedBPTT(k1=...), in YAML `tbptt: {{k1: ...}}`, or None")
        self.tbptt = tbptt
        self.carry_state, self.lr_interval = carry_state, lr_interval
        self.automatic_optimization = tbptt is None
        self.steps = OptimizerSteps(self)
        self.stage = "train"  # of the chunk in hand: "train", "val", "test", "predict"; "waiting" for other ranks
        # Metric objects sum over batches and ranks by themselves; a mean of the ranks' means would be off.
        self.metrics = nn.ModuleDict({stage: nn.ModuleDict({"loss": MeanMetric()}) for stage in ("val", "test")})
        self._carried = CarriedStates()

    # What a subclass gives.

    def chunk_step(self, chunk: Batch, state: Any) -> tuple[Tensor, Tensor | int, Any]:
        """Runs the model over one chunk. To be given by a subclass.

        Args:
            chunk: A batch, cut in time: the tensors in `time_keys` hold t <= T steps, `lengths` count from the chunk's
                first step (0 for a row that has ended), `masks` are those of `sample_masks`, if any.
            state: What this method returned for the chunk before; None where the sequences begin.

        Returns:
            The sum of the losses over the chunk's valid targets, the number of these targets, and the state at the
            chunk's end (tensors whose second-last dimension is B, or a nest of them).
        """
        raise NotImplementedError(f"{type(self).__name__} must define chunk_step(chunk, state)")

    def advance(self, chunk: Batch, state: Any) -> Any:
        """The state at the end of a chunk whose losses do not count (k2 > k1). Override it to save the losses' cost."""
        return self.chunk_step(chunk, state)[2]

    def sample_masks(self, rows: int, steps: int) -> DropoutMasks | None:
        """Dropout masks of `steps` further steps, handed on as `chunk["masks"]`; None where there are none."""
        return None

    def prepare_batch(self, batch: Any) -> Batch:
        """Checks what the data loader gave and returns it as a dict."""
        return as_batch(batch)

    def plan(self, batch: Batch) -> list[Window]:
        """The passes over a batch; in evaluation none restarts before its chunk."""
        steps = batch["x"].shape[1]
        if self.tbptt is None:
            return [whole(steps)]
        if self.training and batch.get("lengths") is not None:
            steps = int(batch["lengths"].max())  # nothing is left to do where all rows have ended
        return list(windows(steps, self.tbptt.k1, self.tbptt.back if self.training else self.tbptt.k1))

    def expected_targets(self, batch: Batch) -> int:
        """The number of targets of a batch in which all are valid; a scale, it need not be exact."""
        return batch["x"].shape[0] * batch["x"].shape[1]

    @property
    def accumulating(self) -> bool:
        """Whether gradients wait for an optimizer step; they are not in checkpoints, so this is no time to save one."""
        return self.steps.accumulating

    # The walk through a batch.

    def passes(
        self, batch: Batch, stage: str, step: ChunkStep | None = None
    ) -> Iterator[tuple[Tensor, Tensor | int, Any]]:
        """Goes through a batch pass by pass.

        Args:
            batch: From `prepare_batch`.
            stage: "train", "val", "test" or "predict"; each carries its own state from batch to batch.
            step: What is done with a chunk; `chunk_step` if not given.

        Yields:
            For each pass the sum of its losses (with a graph in training), the number of valid targets, and the detached
            state at its end.
        """
        step = step or self.chunk_step
        rows, keep = len(batch["x"]), self.tbptt.back if self.tbptt is not None else batch["x"].shape[1]
        self.stage = stage
        state, masks = self._begin(batch, stage)
        tape = MaskTape(lambda steps: self.sample_masks(rows, steps) if self.training else None, keep, masks)

        def chunk(start: int, stop: int) -> Batch:
            return {**cut(batch, start, stop, self.time_keys), "masks": tape.get(start, stop)}

        stored = {0: state}  # detached states, by the step that they stand before
        for begin, start, stop, stores in self.plan(batch):
            stored = {step: kept for step, kept in stored.items() if step >= begin}
            state = stored[begin]
            if begin < start:
                state = self.advance(chunk(begin, start), state)
            loss_sum: Tensor | float = 0.0
            targets: Tensor | int = 0
            for end in stores:
                part, count, state = step(chunk(start, end), state)
                loss_sum, targets, start = loss_sum + part, targets + count, end
                stored[end] = detach_state(state)
            yield loss_sum, targets, stored[stop]  # type: ignore[misc]
        if self.carry_state:
            self._carried.put(stage, batch, stored[stop], tape.variational)

    def _begin(self, batch: Batch, stage: str) -> tuple[Any, DropoutMasks | None]:
        """The state and the variational masks that the sequences of a batch begin with."""
        if not self.carry_state:
            return None, None
        state, masks = self._carried.get(stage, batch)
        reset = batch.get("reset")
        if reset is not None and state is not None:
            state = reset_rows(state, reset)
            if masks is not None:
                fresh = self.sample_masks(len(reset), 1)
                assert fresh is not None, "masks that were drawn once are drawn again"
                masks = masks.renewed(fresh, reset)
        return state, masks

    # Lightning's hooks.

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor] | None:
        """One batch: one loss for automatic optimisation, or under `tbptt` backward passes and optimizer steps."""
        self.stage = "train"
        batch = self.prepare_batch(batch)
        if self.tbptt is None:
            ((loss_sum, targets, _),) = self.passes(batch, "train")
            loss, everywhere = self.steps.mean_over_ranks(loss_sum, float(targets))
            if everywhere == 0 and self.trainer.world_size == 1:
                return None  # Lightning takes no step on a batch without any valid target
            mean = loss_sum.detach() / max(float(targets), 1.0)
        else:
            loss = mean = self._train_in_chunks(batch, batch_idx, self.tbptt)
        if self._is_logged(batch_idx):
            self.log("train/loss", mean, prog_bar=True, batch_size=len(batch["x"]))
        return {"loss": loss}

    def _is_logged(self, batch_idx: int) -> bool:
        """Whether anyone reads this batch's loss; to log every one costs a small network 10 % of its time."""
        trainer = self.trainer
        if batch_idx == 0 or trainer.is_last_batch or trainer.accumulate_grad_batches > 1:
            return True
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by the Trainer's logger connector
        return every > 0 and (trainer.fit_loop.total_batch_idx + 1) % every == 0

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """One batch of validation, chunk by chunk."""
        self.evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        """One batch of the test, chunk by chunk."""
        self.evaluate(batch, "test")

    def evaluate(self, batch: Any, stage: str) -> None:
        """Goes through a batch without a graph, and logs the stage's metrics over all valid targets of its epoch."""
        self.stage, metrics = stage, self._metrics(stage)
        for loss_sum, targets, _ in self.passes(self.prepare_batch(batch), stage):
            if targets > 0:
                metrics["loss"].update(loss_sum / targets, weight=targets)
        for name, metric in metrics.items():
            self.log(f"{stage}/{name}", metric, on_step=False, on_epoch=True, prog_bar=stage == "val")

    def on_train_start(self) -> None:
        """Refuses a scheduler that would end before the run."""
        if self.automatic_optimization and self.lr_interval != "epoch":
            check_total_steps(self)

    def on_train_epoch_start(self) -> None:
        """The sequences of an epoch begin anew."""
        self._carried.clear("train")

    def on_validation_epoch_start(self) -> None:
        """The sequences and metrics of a validation begin anew."""
        self._begin_evaluation("val")

    def on_test_epoch_start(self) -> None:
        """The sequences and metrics of a test begin anew."""
        self._begin_evaluation("test")

    def on_predict_epoch_start(self) -> None:
        """The sequences to predict begin anew."""
        self._carried.clear("predict")

    def on_train_epoch_end(self) -> None:
        """Looks for a loss that was not finite, and steps the schedulers of interval "epoch"."""
        self.steps.guard.look()
        if not self.automatic_optimization:
            step_schedulers(self, "epoch")
            step_plateaus(self, after="train")

    def on_validation_epoch_end(self) -> None:
        """Stops where the weights have become useless, and steps `ReduceLROnPlateau` under manual optimisation."""
        loss = self._metrics("val")["loss"]
        if (
            self.trainer.state.fn == TrainerFn.FITTING
            and loss.update_called
            and not (mean := loss.compute()).isfinite()
        ):
            raise NonFiniteLossError(
                f"val/loss is {mean.item()} at optimizer step {self.trainer.global_step}: lower the learning "
                "rate, clip the gradients, or look for NaN in the data"
            )
        if not self.automatic_optimization and not self.trainer.sanity_checking:
            step_plateaus(self, after="val")

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient by `tbptt.gradient_clip_val`; mixed precision has unscaled it by now."""
        if self.tbptt is not None and self.tbptt.gradient_clip_val is not None:
            self.clip_gradients(
                optimizer,
                gradient_clip_val=self.tbptt.gradient_clip_val,
                gradient_clip_algorithm=self.tbptt.gradient_clip_algorithm,
            )

    def rank_state(self) -> dict[str, Any]:
        """Adds the state that is carried from batch to batch."""
        return {**super().rank_state(), "carried": self._carried.state_dict()}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Takes up what `rank_state` gave."""
        super().load_rank_state(state)
        self._carried.load_state_dict(state["carried"])

    def configure_callbacks(self) -> list[Any]:
        """Refuses settings of the Trainer that do not go with the module's, before anything is done or written."""
        check_trainer(self)
        return []

    def _begin_evaluation(self, stage: str) -> None:
        self._carried.clear(stage)
        for metric in self._metrics(stage).values():
            metric.reset()  # a reset under inference mode leaves tensors that cannot be updated outside it

    def _metrics(self, stage: str) -> Any:
        return self.metrics[stage]

    # Manual optimisation.

    def _train_in_chunks(self, batch: Batch, batch_idx: int, tbptt: TruncatedBPTT) -> Tensor:
        """Backward passes and optimizer steps over a batch; returns its mean loss over the valid targets."""
        group = tbptt.batches_per_step
        last_of_group = group > 0 and ((batch_idx + 1) % group == 0 or self.trainer.is_last_batch)
        passes, left = self.passes(batch, "train"), self.steps.reduce(len(self.plan(batch)), "max")
        total, count = torch.zeros((), device=self.device), 0.0
        while left > 0 and not self._max_steps_reached():
            left -= 1
            loss_sum, targets, _ = next(passes, (None, 0, None))
            if loss_sum is None:  # other ranks have longer sequences: take part in their reductions with weight 0
                self.stage = "waiting"
                loss_sum = self.chunk_step(cut(batch, 0, 1, self.time_keys), None)[0] * 0.0
            total, count = total + loss_sum.detach(), count + float(targets)
            if group == 0:
                self.steps.step_on(loss_sum, float(targets))
            else:
                last = last_of_group and left == 0
                self.steps.accumulate(loss_sum, float(targets), self.expected_targets(batch), last)
        for _ in passes:  # lets the generator come to its end, where it carries the state on
            pass
        step_schedulers(self, "batch")
        return total / max(count, 1.0)

    def _max_steps_reached(self) -> bool:
        return 0 <= self.trainer.max_steps <= self.trainer.global_step
