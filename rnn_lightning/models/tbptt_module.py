"""`TruncatedBPTTModule`: truncated backpropagation through time for any LightningModule.

`rnn_lightning.models.loop` describes what happens to a batch. This module passes to the loop what differs between
training, validation, test and predict.

Legend: B batch (rows), T time steps, t <= T steps of a chunk.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.fitted import add_fitted
from rnn_lightning.models import epochs
from rnn_lightning.models.batches import TIME_KEYS, Batch, as_batch, begun, cut, present
from rnn_lightning.models.carry import CarriedStates
from rnn_lightning.models.loop import Result, run
from rnn_lightning.models.loss_guard import LossGuard
from rnn_lightning.models.masks import MaskTape
from rnn_lightning.models.means import Means
from rnn_lightning.models.one_lightning import OneLightning
from rnn_lightning.models.plain import make_plain
from rnn_lightning.models.plan import Pass, Span, mark_updates, passes, split
from rnn_lightning.models.ranks import reduce, share_of_mean
from rnn_lightning.models.resume import ExactResume
from rnn_lightning.models.schedulers import LRInterval, check_total_steps, step_schedulers
from rnn_lightning.models.trainer_check import check_loaders, check_trainer, tell_what_is_slow
from rnn_lightning.models.truncated_bptt import TruncatedBPTT
from rnn_lightning.models.update import Pending, Update
from rnn_lightning.nn import DropoutMasks, detach_state, reset_rows


class TruncatedBPTTModule(OneLightning, LightningModule):
    """A LightningModule that trains, validates and tests chunk by chunk. You only write `chunk_step`.

    With `tbptt`, training uses manual optimisation: forward over k1 steps, backward over at most k2, and an optimizer
    step after each chunk, batch or number of batches. Clipping, mixed precision, schedulers and several devices are
    handled correctly. Without `tbptt`, the whole batch is one chunk under automatic optimisation, and every Trainer
    feature works.

    Args:
        tbptt: How to truncate; None for full backpropagation through time.
        carry_state: Whether row i of a batch continues row i of the previous batch. The state is detached, and reset
            where the batch's `reset` is true and at the start of each epoch.
        lr_interval: When a scheduler steps: after each `"epoch"`, `"batch"`, or optimizer `"step"`. Without `tbptt`,
            Lightning's automatic optimisation uses "step" for both of the last two.
    """

    time_keys: tuple[str, ...] = TIME_KEYS
    """The keys of a batch whose second dimension is time."""
    handles_reset = False
    """Whether `chunk_step` itself zeroes the state where its `reset` (B, t) is true. If not, chunks are cut there."""

    def __init__(
        self, tbptt: TruncatedBPTT | None = None, carry_state: bool = False, lr_interval: LRInterval = "epoch"
    ) -> None:
        super().__init__()
        if lr_interval not in ("epoch", "batch", "step"):
            raise ArgumentError(f'lr_interval={lr_interval!r} is unknown: choose "epoch", "batch" or "step"')
        self.truncate(tbptt)
        self.carry_state, self.lr_interval = carry_state, lr_interval
        self.carried, self.means, self.guard, self.pending = CarriedStates(), Means(), LossGuard(), Pending()
        self.resume = ExactResume({"carried": self.carried, "means": self.means})

    def truncate(self, tbptt: TruncatedBPTT | None) -> None:
        """Sets how to truncate, before a fit."""
        self.tbptt = TruncatedBPTT.of(tbptt)
        self.automatic_optimization = tbptt is None

    # Defined by a subclass.

    def chunk_step(self, chunk: Batch, state: Any) -> tuple[Any, ...]:
        """Runs the model over one chunk. A subclass must define it.

        Args:
            chunk: A batch, cut in time. The tensors in `time_keys` hold t <= T steps, `lengths` count from the chunk's
                first step (0 for a row that has ended), and `masks` are those of `sample_masks`, if any.
            state: The state at the end of the steps before, as this method or `advance` returned it; None at the
                beginning of the sequences.

        Returns:
            The sum of the losses over the chunk's valid targets, the number of these targets, and the state at the
            chunk's end: tensors whose second-last dimension is B, or any nest of them. It may return a fourth value, a
            dict: numbers are sums over the targets, logged as means (`val/NAME`); a pair of numbers is a sum and its
            own divisor; `"prediction"` (B, t, ...) is what predict returns.
        """
        raise NotImplementedError(f"{type(self).__name__} must define chunk_step(chunk, state)")

    def advance(self, chunk: Batch, state: Any) -> Any:
        """Computes the state at the end of a chunk whose losses do not count (k2 > k1).

        Override it to avoid computing the losses.
        """
        return self.chunk_step(chunk, state)[2]

    def predict_chunk(self, chunk: Batch, state: Any) -> tuple[dict[str, Tensor], Any]:
        """Returns a chunk's outputs (B, t, ...) by name, and the state. Override it to predict without y."""
        result = Result.of(self.chunk_step(chunk, state))
        outputs = {key: value for key, value in result.more.items() if isinstance(value, Tensor) and value.dim() > 0}
        if "prediction" not in outputs:
            raise ArgumentError(
                f"{type(self).__name__} has no predictions: return them from chunk_step as a fourth value, "
                '{"prediction": ...}, or define predict_chunk'
            )
        return outputs, result.state

    def derived_metrics(self, stage: str, means: Mapping[str, float]) -> dict[str, float]:
        """Computes further metrics to log, named without the stage, from an epoch's means."""
        return {}

    def sample_masks(self, rows: int, steps: int) -> DropoutMasks | None:
        """Draws dropout masks for the next `steps` steps, passed on as `chunk["masks"]`; None if there are none."""
        return None

    def prepare_batch(self, batch: Any, needs_y: bool = True) -> Batch:
        """Checks a batch from the data loader and returns it as a dict."""
        return as_batch(batch, needs_y)

    def plan(self, batch: Batch, training: bool) -> list[Pass]:
        """Plans the passes over a batch; in evaluation, no pass restarts before its chunk."""
        steps = batch["x"].shape[1]
        if self.tbptt is None:
            return passes(steps, steps, steps)
        if training and batch.get("lengths") is not None:
            steps = int(batch["lengths"].max())  # nothing is left to do once all rows have ended
        return passes(steps, self.tbptt.k1, self.tbptt.k2 if training else self.tbptt.k1)

    # Training.

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor] | None:
        """Trains on one batch and returns its loss; under `tbptt`, it also takes the optimizer steps."""
        self.resume.restore_generators(self)
        batch = self.prepare_batch(batch)
        plan = self.plan(batch, training=True)
        if self.tbptt is not None:
            return {"loss": self._train_by_chunks(batch, batch_idx, plan, self.tbptt)}
        total = self._through_batch(batch, batch_idx, plan, "train", self._training_chunk)
        assert total.loss is not None, "chunk_step returns a loss in training"
        loss, everywhere = share_of_mean(self.trainer.strategy, total.loss, float(total.targets))
        self.guard.check(loss, lambda: self.trainer.global_step)
        if everywhere == 0 and self.trainer.world_size == 1:
            return None  # Lightning takes no step on a batch without any valid target
        self._log_loss(total, batch, batch_idx)
        return {"loss": loss}

    def _train_by_chunks(self, batch: Batch, batch_idx: int, plan: list[Pass], tbptt: TruncatedBPTT) -> Tensor:
        """Takes a batch's optimizer steps; returns the mean loss, which is only shown."""
        n, most = tbptt.batches_per_step, int(reduce(self.trainer.strategy, len(plan), "max"))
        last = n > 0 and ((batch_idx + 1) % n == 0 or self.trainer.is_last_batch)
        plan = mark_updates(plan, most, each=n == 0, last=last)
        update = Update.of(self, tbptt)
        total = self._through_batch(batch, batch_idx, plan, "train", self._training_chunk, update=update)
        step_schedulers(self, "batch")
        return self._log_loss(total, batch, batch_idx)

    def _training_chunk(self, chunk: Batch, state: Any) -> Result:
        result = Result.of(self.chunk_step(chunk, state))
        self.means.add("train", result.targets, result.more)  # not the loss, which is logged by batch
        return result

    def _log_loss(self, total: Result, batch: Batch, batch_idx: int) -> Tensor:
        """Logs and returns a training batch's mean loss; what is logged is over all ranks, as in validation."""
        targets, strategy = float(total.targets), self.trainer.strategy
        mean = torch.zeros(()) if total.loss is None else total.loss.detach() / (targets or 1.0)
        if epochs.is_logged(self.trainer, batch_idx):
            logged: Tensor | float = mean
            if self.trainer.world_size > 1:
                losses = reduce(strategy, float(mean) * targets, "sum")
                logged = losses / (reduce(strategy, targets, "sum") or 1.0)
            self.log("train/loss", logged, prog_bar=True, batch_size=len(batch["x"]))
        return mean

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips the gradient to `tbptt.gradient_clip_val`; mixed precision has already unscaled it."""
        if self.tbptt is not None and self.tbptt.gradient_clip_val is not None:
            self.clip_gradients(optimizer, self.tbptt.gradient_clip_val, self.tbptt.gradient_clip_algorithm)

    @property
    def accumulating(self) -> bool:
        """Whether gradients wait for an optimizer step; if so, no checkpoint should be saved, as it would lack them."""
        return self.pending.divisor is not None

    # Validation, test and predict.

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Validates on one batch, chunk by chunk; returns the chunks' `shown` tensors."""
        return self._evaluate(batch, batch_idx, "val", dataloader_idx)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Tests on one batch, chunk by chunk; returns the chunks' `shown` tensors."""
        return self._evaluate(batch, batch_idx, "test", dataloader_idx)

    def _evaluate(self, batch: Any, batch_idx: int, stage: str, loader: int) -> dict[str, Tensor]:
        batch, shown = self.prepare_batch(batch), []

        def chunk_step(chunk: Batch, state: Any) -> Result:
            result = Result.of(self.chunk_step(chunk, state))
            loss = {"loss": result.loss}
            values = loss | result.more | loss  # shown first, and not replaced by another value of this name
            self.means.add(stage, result.targets, values, loader)
            shown.append(self.shown(chunk, result))
            self.evaluated(chunk, result, stage, loader)
            return result

        self._through_batch(batch, batch_idx, self.plan(batch, training=False), stage, chunk_step, loader)
        return _joined(shown, -1)

    def shown(self, chunk: Batch, result: Result) -> dict[str, Tensor]:
        """Returns what callbacks get from a validation or test chunk; tensors are joined along the last dimension."""
        return {}

    def evaluated(self, chunk: Batch, result: Result, stage: str, loader: int) -> None:
        """Called with each chunk of validation (`stage` "val") and test, from data loader number `loader`."""

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Computes the outputs for a batch, chunk by chunk; adds its `x`, `y` and `lengths` if it has them."""
        batch, outputs, _ = self._predict(batch, batch_idx, dataloader_idx)
        return {**present(batch, "x", "y", "lengths"), **outputs}

    def _predict(self, batch: Any, batch_idx: int, loader: int) -> tuple[Batch, dict[str, Tensor], Any]:
        batch, outputs = self.prepare_batch(batch, needs_y=False), []

        def chunk_step(chunk: Batch, state: Any) -> Result:
            more, state = self.predict_chunk(chunk, state)
            outputs.append(more)
            return Result(None, 0, state)

        plan = self.plan(batch, training=False)
        total = self._through_batch(batch, batch_idx, plan, "predict", chunk_step, loader)
        return batch, _joined(outputs, 1), total.state

    # From the start of a batch to its end.

    def _through_batch(
        self,
        batch: Batch,
        batch_idx: int,
        plan: list[Pass],
        stage: str,
        chunk_step: Callable[[Batch, Any], Result],
        loader: int = 0,
        update: Update | None = None,
    ) -> Result:
        """Runs `loop.run` over a batch, from its initial state to the state that is carried on."""
        if batch_idx == 0 and loader == 0:
            epochs.begin(self, stage)  # not in a hook, as a run that is resumed within an epoch must keep its states
        rows, state = len(batch["x"]), batch.get("state")
        if state is None and self.carry_state:
            state = self.carried.take(stage, rows, batch["x"].device, loader)
        reset = None if self.handles_reset else batch.get("reset")
        cuts = reset is not None and reset.dim() > 1  # the model does not reset within a chunk
        if reset is not None and cuts:
            plan = split(plan, reset.any(0).nonzero().flatten().tolist())
        keep = self.tbptt.k2 if self.tbptt is not None else batch["x"].shape[1]
        masks = MaskTape(lambda steps: self.sample_masks(rows, steps) if stage == "train" else None, keep)

        def given(span: Span, state: Any) -> tuple[Batch, Any]:
            chunk = cut(batch, span, self.time_keys)
            chunk["masks"] = masks.get(span.start, span.stop)
            return chunk, reset_rows(state, chunk["reset"][:, 0]) if cuts else state

        total = run(
            plan,
            detach_state(begun(batch, state)),
            lambda *at: chunk_step(*given(*at)),
            lambda *at: self.advance(*given(*at)),
            update,
        )
        if self.carry_state:
            self.carried.put(stage, rows, total.state, loader)
        return total

    # Lightning's hooks, which call the parts. Callbacks instead of these hooks would cost time at every optimizer step.

    def configure_callbacks(self) -> list[Callback]:
        """Refuses settings of the Trainer that contradict the module's, before anything is done or written."""
        check_trainer(self)  # checked before Lightning raises its own errors, which do not say what to do instead
        return []

    def on_fit_start(self) -> None:
        """Seeds the processes, and warns about a slow path."""
        self.guard, self.pending = LossGuard(), Pending()  # an interrupted fit may have left an unfinished step
        self.resume.seed(self.trainer)
        tell_what_is_slow(self)

    def on_train_start(self) -> None:
        """Refuses a scheduler that would end before the run, and data that do not allow a carried state."""
        self.resume.restore_metrics(self)
        check_loaders(self)
        if self.automatic_optimization and self.lr_interval != "epoch":
            check_total_steps(self)

    def on_validation_start(self) -> None:
        """Refuses data that do not allow a carried state."""
        check_loaders(self)

    on_test_start = on_predict_start = on_validation_start

    def on_train_epoch_end(self) -> None:
        """See `epochs.end`."""
        epochs.end(self)

    on_validation_epoch_end = on_test_epoch_end = on_train_epoch_end

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the state of this process."""
        if self._trainer is not None:
            self.resume.load(self._trainer, checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the state of every process and what was fitted on the data; makes everything plain, or warns."""
        if self._trainer is not None:
            add_fitted(checkpoint, getattr(self._trainer, "datamodule", None))
        self.resume.save(self, checkpoint)
        make_plain(checkpoint)


def _joined(parts: list[dict[str, Tensor]], dim: int) -> dict[str, Tensor]:
    """Concatenates the chunks' tensors by name along `dim`."""
    return {name: torch.cat([part[name] for part in parts], dim) for name in parts[0]}
