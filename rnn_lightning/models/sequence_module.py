"""`SequenceModule`: what `Seq2Vec` and `Seq2Seq` share, from the network's arguments to the logged metrics.

Legend: B batch (rows), T time steps, I input features, O outputs.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batch import Batch, as_batch
from rnn_lightning.models.checkpoint import check_checkpoint, load_weights
from rnn_lightning.models.objective import Objective, Task
from rnn_lightning.models.schedulers import LRInterval, scheduler_config
from rnn_lightning.models.tbptt_module import TruncatedBPTTModule
from rnn_lightning.models.truncated_bptt import TruncatedBPTT
from rnn_lightning.nn import (
    Cell,
    DropoutMasks,
    Init,
    Nonlinearity,
    RecurrentNet,
    Seq2SeqNet,
    State,
    check_free_run,
    free_run,
)

Observer: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], None]
"""(outputs (..., O), targets in the form that the objective takes, which of them count or None for all)."""

TRAINING = ("tbptt", "carry_state", "weights", "optimizer", "lr_scheduler", "lr_interval")
"""Arguments that say how to train. Checkpoints hold the others, those of the network: plain numbers and names."""


class SequenceModule(TruncatedBPTTModule):
    """A recurrent network with its loss, metrics and optimisation. Use `Seq2Vec` or `Seq2Seq`.

    Args:
        input_size: Features I of each time step; from the data module on the command line.
        output_size: Outputs O, classes or values to predict; from the data module on the command line.
        task: "classification" (cross-entropy, `acc`) or "regression" (mean squared error, `mae`); `Seq2Vec` classifies
            and `Seq2Seq` regresses if not given.
        cell: "rnn", "lstm" or "gru".
        nonlinearity: "tanh" or "relu", of the RNN only.
        hidden_size: Hidden units of each layer.
        num_layers: Layers.
        bias: Whether the recurrent layers have biases.
        bidirectional: Whether a second direction reads each sequence from its end; not with tbptt or carry_state.
        input_dropout: Probability of dropping on each layer's input.
        output_dropout: Probability of dropping on each layer's output.
        state_dropout: Probability of dropping on the hidden state that a step hands to the next.
        variational: One dropout mask per sequence, the same at every step, instead of fresh masks.
        init: Initial weights: "torch", "glorot" (TensorFlow's), "orthogonal" or "identity" (IRNN).
        tbptt: How to truncate backpropagation through time; None for the whole sequence.
        carry_state: Whether row i of a batch goes on where row i of the batch before ended; needs contiguous data.
        weights: Trained weights to start from: the name of a network that ships with the package (`seq2vec_mnist`), or
            a file: a checkpoint, a plain state dict, or an export's `network.json`. A head of another size starts fresh.
        optimizer: Makes the optimizer from the parameters; Adam with lr 0.001 if not given.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; none if not given.
        lr_interval: When the scheduler steps: after each "epoch", "batch" or optimizer "step".

    Raises:
        ArgumentError: An argument out of range, or arguments that do not go together.
    """

    network: type[RecurrentNet]
    default_task: Task
    horizon = 0
    """How many steps `predict_step` goes on after each sequence, every prediction being the next input."""

    def __init__(
        self,
        input_size: int,
        output_size: int,
        task: Task | None = None,
        cell: Cell = "rnn",
        nonlinearity: Nonlinearity = "tanh",
        hidden_size: int = 128,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        input_dropout: float = 0.0,
        output_dropout: float = 0.0,
        state_dropout: float = 0.0,
        variational: bool = False,
        init: Init = "torch",
        tbptt: TruncatedBPTT | None = None,
        carry_state: bool = False,
        weights: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: LRInterval = "epoch",
    ) -> None:
        super().__init__(tbptt, carry_state, lr_interval)
        self.save_hyperparameters(ignore=TRAINING)
        if bidirectional and (tbptt is not None or carry_state):
            raise ArgumentError(
                f"bidirectional=true does not go with {'tbptt' if tbptt is not None else 'carry_state'}: the backward "
                "direction starts at the sequence's end, so it cannot be run in chunks; set one of them off"
            )
        self.net = self.network(
            input_size,
            output_size,
            cell,
            nonlinearity,
            hidden_size,
            num_layers,
            bias,
            bidirectional,
            input_dropout,
            output_dropout,
            state_dropout,
            variational,
            init,
        )
        self.objective = Objective(task or self.default_task, output_size)
        for stage in ("val", "test"):
            self._metrics(stage)[self.objective.metric] = self.objective.score()
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.optimizer_name = _optimizer_name(optimizer, self.parameters())
        self.observers: list[Observer] = []  # see every chunk of validation and test, none of training
        self._score: Tensor | float = 0.0  # sum of the metric over the training epoch so far
        self._scored: Tensor | float = 0.0  # its number of targets
        self.fresh_head = weights is not None and not load_weights(self.net, weights, dict(self.hparams))

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """The network's own `forward`: x (B, T, I) -> the outputs and the final state."""
        return self.net(x, state, lengths)

    # What the two modules give.

    def outputs(self, chunk: Batch, state: State | None) -> tuple[Tensor, State]:
        """Runs the network over a chunk and returns its outputs and the state at the chunk's end."""
        return self.net(chunk["x"], state, chunk.get("lengths"), chunk.get("masks"))

    def valid(self, chunk: Batch) -> Tensor | None:
        """Which targets of a chunk count, in the shape of class indices; None if all do."""
        raise NotImplementedError

    def forecast(self, y_hat: Tensor, state: State | None, lengths: Tensor | None) -> Tensor:
        """Goes on for `horizon` steps after the sequences' ends.

        Args:
            y_hat: (B, T, O), the outputs.
            state: The state after them.
            lengths: (B,), or None where all rows have T steps.

        Returns:
            (B, horizon, O), see `rnn_lightning.nn.free_run`.

        Raises:
            ArgumentError: The model cannot feed on its own predictions.
        """
        self.check_forecast()
        assert isinstance(self.net, Seq2SeqNet), "checked"
        assert state is not None, "there was a pass"
        if lengths is None:
            last = y_hat[:, -1]
        else:
            last = y_hat[torch.arange(len(y_hat), device=y_hat.device), lengths.to(y_hat.device) - 1]
        return free_run(self.net, last, state, self.horizon)

    def check_forecast(self) -> None:
        """Raises `ArgumentError` if the model cannot feed on its own predictions."""
        check_free_run(self.net)
        if self.objective.classifies:
            raise ArgumentError(
                "a forecast feeds values back as inputs, classes are none: use task=regression, or leave the horizon out"
            )

    # What truncated BPTT asks for.

    def chunk_step(self, chunk: Batch, state: State | None) -> tuple[Tensor, Tensor | int, State]:
        """Loss of a chunk over its valid targets; its metric goes into the stage's."""
        y_hat, state = self.outputs(chunk, state)
        valid = self.valid(chunk)
        y = self.objective.prepare(y_hat, chunk["y"], valid)
        loss_sum = self.objective.loss_sum(y_hat, y, valid)
        targets = y_hat[..., 0].numel() if valid is None else valid.sum()
        self._observe(y_hat, y, valid, targets)
        return loss_sum, targets, state

    def advance(self, chunk: Batch, state: State | None) -> State:
        """The state at a chunk's end, without the head and the losses."""
        return self.net.layers(chunk["x"], state, chunk.get("lengths"), chunk.get("masks"))[1]

    def sample_masks(self, rows: int, steps: int) -> DropoutMasks | None:
        """The dropout masks of a batch: once a sequence if variational, else for these steps."""
        return self.net.sample_masks(rows, steps)

    def prepare_batch(self, batch: Any) -> Batch:
        """Checks what the data loader gave against the network."""
        return as_batch(batch, self.net.layers.input_size, needs_y=self.stage != "predict")

    # Metrics.

    def _observe(self, y_hat: Tensor, y: Tensor, valid: Tensor | None, targets: Tensor | int) -> None:
        if self.stage == "train":
            # Plain sums, as a metric object that is updated at every step costs more than a small network's step.
            self._score = self._score + self.objective.score_sum(y_hat.detach(), y, valid)
            self._scored = self._scored + targets
        if self.stage not in self.metrics:
            return
        for observer in self.observers:
            observer(y_hat, y, valid)
        if valid is not None:
            y_hat, y = y_hat[valid], y[valid]  # (N, O) and (N,) or (N, O)
        if y.numel() > 0:
            score = self._metrics(self.stage)[self.objective.metric]
            score.update(y_hat.flatten(0, -2), y.flatten() if self.objective.classifies else y.flatten(0, -2))

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        """The outputs for a batch, chunk by chunk.

        Returns:
            `x`, `y` and `lengths` as far as the batch has them; `prediction`, class indices or values in the shape of
            y; for classification also `probability` (..., O); with a `horizon` also `forecast` (B, horizon, O).
        """
        self.stage = "predict"
        batch = self.prepare_batch(batch)
        parts: list[Tensor] = []

        def step(chunk: Batch, state: State | None) -> tuple[Tensor, int, State]:
            y_hat, state = self.outputs(chunk, state)
            parts.append(y_hat)
            return y_hat.new_zeros(()), 0, state

        state = None
        for _, _, after in self.passes(batch, "predict", step):
            state = after
        y_hat = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)  # only outputs with time come in parts
        result = {key: batch[key] for key in ("x", "y", "lengths") if batch.get(key) is not None}
        if self.horizon:
            result["forecast"] = self.forecast(y_hat, state, batch.get("lengths"))
        if not self.objective.classifies:
            return {**result, "prediction": y_hat}
        return {**result, "prediction": y_hat.argmax(-1), "probability": y_hat.softmax(-1)}

    def on_train_epoch_end(self) -> None:
        """Logs the metric over the epoch's batches, as they were met in training."""
        score, scored = self.steps.reduce(float(self._score), "sum"), self.steps.reduce(float(self._scored), "sum")
        if scored:
            self.log(f"train/{self.objective.metric}", score / scored, sync_dist=True)
        self._score, self._scored = 0.0, 0.0
        super().on_train_epoch_end()

    # Optimisation and checkpoints.

    def configure_optimizers(self) -> Any:
        """The optimizer, and the scheduler with the interval it steps at."""
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        scheduler = scheduler_config(self.lr_scheduler(optimizer), self.lr_interval, self.automatic_optimization)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def rank_state(self) -> dict[str, Any]:
        """Adds the training metric of the epoch so far."""
        return {**super().rank_state(), "score": float(self._score), "scored": float(self._scored)}

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Takes up what `rank_state` gave."""
        super().load_rank_state(state)
        self._score, self._scored = state["score"], state["scored"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the classes of the model and its network to the checkpoint."""
        super().on_save_checkpoint(checkpoint)
        names = {"model": type(self).__name__, "network": type(self.net).__name__, "optimizer": self.optimizer_name}
        checkpoint |= names

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of another model."""
        check_checkpoint(self, checkpoint)
        fits = self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING
        if fits and checkpoint.get("optimizer", self.optimizer_name) != self.optimizer_name:
            raise ArgumentError(
                f"the checkpoint is of a run with {checkpoint['optimizer']}, this one has {self.optimizer_name}: resume "
                "with the same optimizer, or begin a new run from its weights (model.weights)"
            )
        super().on_load_checkpoint(checkpoint)


def _optimizer_name(optimizer: OptimizerCallable, parameters: Iterator[torch.nn.Parameter]) -> str:
    """The class that `optimizer` makes; it is tried at once, so that wrong arguments show before any work is done."""
    try:
        return type(optimizer(parameters)).__name__
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"optimizer cannot be made ({error}): give a torch.optim class with valid arguments"
        ) from error
