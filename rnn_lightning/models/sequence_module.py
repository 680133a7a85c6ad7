"""`SequenceModule`: what `Seq2Vec` and `Seq2Seq` share, from the network's arguments to the metrics.

Legend: B batch (rows), T time steps, I input features, O outputs.
"""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torchmetrics import Metric

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batches import Batch, by_value, check_features, check_tokens, one_value, present
from rnn_lightning.models.checkpoint import check_checkpoint, load_weights
from rnn_lightning.models.loop import Result
from rnn_lightning.models.losses import Loss
from rnn_lightning.models.metrics import Metrics
from rnn_lightning.models.named import construct
from rnn_lightning.models.objective import Objective, Task
from rnn_lightning.models.plain import plain
from rnn_lightning.models.remembered import MADE, MEASURED, SETTINGS, tell_what_continues, train_as, training_of
from rnn_lightning.models.schedulers import LRInterval, scheduler_config
from rnn_lightning.models.tbptt_module import TruncatedBPTTModule
from rnn_lightning.models.truncated_bptt import TruncatedBPTT
from rnn_lightning.models.units import found_in_units, in_units
from rnn_lightning.nn import DropoutMasks, RecurrentNet, Seq2SeqNet, State, free_run
from rnn_lightning.nn.free_run import check_free_run
from rnn_lightning.nn.init import Init
from rnn_lightning.nn.networks import Cell, Nonlinearity

TRAINING = (*SETTINGS, *MADE, *MEASURED, "weights")
"""Arguments that say how to train. All others describe the network and are its hyperparameters: plain numbers and
names."""

_NETWORK_ARGUMENTS = tuple(signature(RecurrentNet).parameters)
_OPTIONS = ("lengths", "masks", "reset")
"""What the network reads of a chunk besides `x`."""


class SequenceModule(TruncatedBPTTModule):
    """A recurrent network with its loss, metrics and optimisation. Use `Seq2Vec` or `Seq2Seq`.

    Args:
        input_size: Features I of each time step, or, with `embedding_size`, the number of different tokens; on the
            command line it comes from the data module.
        output_size: Outputs O: classes, or values to predict; on the command line it comes from the data module.
        task: "classification" (cross-entropy, `acc`), "regression" (mean squared error, `mae`) or "multilabel" (binary
            cross-entropy of each output, `acc`). By default it is the task of the loss, else the data module's `task`,
            else classification for `Seq2Vec` and regression for `Seq2Seq`.
        cell: "rnn", "lstm" or "gru".
        nonlinearity: "tanh" or "relu", for cell="rnn" only.
        hidden_size: Hidden units of each layer.
        num_layers: The number of layers.
        bias: Whether the recurrent layers have biases.
        bidirectional: Whether a second direction reads each sequence from its end; not with tbptt or carry_state.
        input_dropout: Dropout probability for each layer's input.
        output_dropout: Dropout probability for each layer's output.
        state_dropout: Dropout probability for the hidden state that a step hands to the next.
        variational: One dropout mask per sequence, the same at every step, instead of fresh masks.
        init: Initial weights: "torch", "glorot" (TensorFlow's), "orthogonal" or "identity" (IRNN).
        embedding_size: Size of the vector that represents each token, for batches whose x is integer tokens (B, T);
            None for features.
        tie_weights: Whether the embedding and the head share one matrix; needs embedding_size == hidden_size.
        fourier_frequencies: The layers read this many sines and cosines of x with random frequencies (Fourier features)
            instead of x, and can tell close values apart; None for x itself.
        fourier_scale: The standard deviation of these frequencies, in cycles per unit of x.
        tbptt: How to truncate backpropagation through time; None for the whole sequence.
        carry_state: Whether row i of a batch continues row i of the previous batch; needs contiguous data.
        weights: Trained weights to start from: the name of a network that ships with the package (`seq2vec_mnist`), or
            a file: a checkpoint, a plain state dict, or an export's `network.json`. A head of a different size is
            reinitialised.
        optimizer: Makes the optimizer from the parameters; Adam with lr 0.001 if not given.
        lr_scheduler: Makes the learning-rate scheduler from the optimizer; none if not given.
        lr_interval: When the scheduler steps: after each "epoch", "batch" or optimizer "step".
        loss: Another loss: a class of torch.nn such as HuberLoss with its arguments, or a callable (see
            `rnn_lightning.models.losses.TargetLoss`). The mean is taken over the targets that count.
        metrics: Metrics of torchmetrics by class, for validation and test: a list, or a dict with names of your own.

    Raises:
        ArgumentError: An argument is out of range, or arguments contradict each other.
    """

    network: type[RecurrentNet]
    default_task: Task
    handles_reset = True
    horizon = 0
    """How many steps `predict_step` forecasts beyond each sequence, feeding predictions back."""

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
        embedding_size: int | None = None,
        tie_weights: bool = False,
        fourier_frequencies: int | None = None,
        fourier_scale: float = 1.0,
        tbptt: TruncatedBPTT | None = None,
        carry_state: bool = False,
        weights: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: LRInterval = "epoch",
        loss: torch.nn.Module | Callable[..., Tensor] | str | dict | None = None,
        metrics: list[str | Metric] | dict[str, str | Metric] | None = None,
    ) -> None:
        super().__init__(tbptt, carry_state, lr_interval)
        _check_direction(bidirectional, tbptt, carry_state)
        self.save_hyperparameters(ignore=TRAINING)
        self.hparams.update(plain(dict(self.hparams))[0])  # such as numpy's numbers
        self.net = self.network(**{name: value for name, value in self.hparams.items() if name in _NETWORK_ARGUMENTS})
        self._wanted = metrics
        self.aim(loss)
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.lr: float | None = None  # replaces the optimizer's own; LearningRateFinder sets it
        self.optimizer_name = self._try_optimizer()
        self.fresh_head = weights is not None and not load_weights(self.net, weights, dict(self.hparams))

    def setup(self, stage: str) -> None:
        """Takes the data module's task if none was given; the data module may refuse the model."""
        data: Any = getattr(self.trainer, "datamodule", None)
        task = getattr(data, "task", None)
        if task is not None and self.hparams.get("task") is None and self.objective.loss is None:
            self.hparams["task"] = task  # for checkpoints
            self.aim(None)
        if hasattr(data, "check_model"):
            data.check_model(self)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Calls the network: x (B, T, I) -> the outputs and the final state."""
        return self.net(x, state, lengths)

    def aim(self, loss: Loss | Mapping[str, Any] | None) -> None:
        """Sets the objective, and recreates the metrics to match it."""
        hparams = self.hparams
        self.objective = Objective(hparams["task"], hparams["output_size"], loss, self.default_task)
        if self.objective.loss is not None and isinstance(self.objective.loss.call, torch.nn.Module):
            self.criterion = self.objective.loss.call  # so that it moves with the model, and its parameters are trained
        self.measure(self._wanted)

    def measure(self, metrics: Any) -> None:
        """Sets the metrics besides the objective's own."""
        self._wanted = metrics
        self.metrics = Metrics(metrics, self.objective) if metrics else None

    @torch.no_grad()
    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Runs one time step of a stream, for inference; call `eval()` first, and pass each call's state to the next.

        Args:
            x: (B, I), or tokens (B,).
            state: The state after the previous step; None at the beginning of the sequences.

        Returns:
            y (B, O), and the state for the next step.
        """
        return self.net.step(x, state)

    # Defined by the two subclasses.

    def valid(self, chunk: Batch) -> Tensor | None:
        """Returns which targets of a chunk count, in the shape of class indices; None if all do."""
        raise NotImplementedError

    def forecast(self, y_hat: Tensor, state: State | None, lengths: Tensor | None) -> Tensor:
        """Forecasts (B, horizon, O) beyond the sequences, from outputs (B, T, O), their state, and any lengths (B,)."""
        self.check_forecast()
        assert isinstance(self.net, Seq2SeqNet), "checked"
        assert state is not None, "there was a pass"
        if lengths is None:
            last = y_hat[:, -1]
        else:
            last = y_hat[torch.arange(len(y_hat), device=y_hat.device), lengths.to(y_hat.device) - 1]
        return free_run(self.net, last, state, self.horizon)

    def check_forecast(self) -> None:
        """Raises `ArgumentError` if the model cannot read its own predictions."""
        if self.objective.task != "regression" or self.objective.predicts_values:  # a distribution has more outputs
            check_free_run(self.net)
        if not self.objective.predicts_values:
            raise ArgumentError(
                "a forecast needs predicted values as inputs, not classes, labels or distributions: use "
                "task=regression, or leave the horizon out"
            )

    # For truncated BPTT.

    def chunk_step(self, chunk: Batch, state: State | None) -> tuple[Tensor, Tensor | float, State, dict[str, Any]]:
        """Computes a chunk's loss and metric over its valid targets, and its outputs."""
        y_hat, state = self._outputs(chunk, state)
        valid, objective = self.valid(chunk), self.objective
        y = objective.prepare(y_hat, chunk["y"], valid)
        loss, weight = objective.loss_and_weight(y_hat, y, valid)
        more: dict[str, Any] = {"prediction": y_hat}
        score = objective.score_sum(y_hat, y, valid, chunk.get("units"))
        if score is not None:  # class weights count in the loss only
            more[objective.metric] = score if objective.loss is None else (score, objective.count(y, valid))
        return loss, weight, state, more

    def evaluated(self, chunk: Batch, result: Result, stage: str, loader: int) -> None:
        """Updates the metrics that were added."""
        if self.metrics is not None and "prediction" in result.more:  # a subclass's chunk_step may return no prediction
            y_hat, valid = result.more["prediction"], self.valid(chunk)
            count = self.trainer.num_val_batches if stage == "val" else self.trainer.num_test_batches
            y = self.objective.prepare(y_hat, chunk["y"], valid)
            found = found_in_units(self.objective.predictions(y_hat), chunk)
            y = y if self.objective.classifies else in_units(y, chunk)
            self.metrics.update(stage, loader, len(count), found, y, valid)

    @property
    def metric_names(self) -> list[str]:
        """The names of everything that is logged in validation and test."""
        return ["loss", self.objective.metric, *(self.metrics.names if self.metrics is not None else ())]

    def valid_targets(self, y: Tensor, places: int) -> Tensor | None:
        """Returns which targets of a batch are not missing; None if none are missing.

        Args:
            y: (...) or (..., D).
            places: How many dimensions come before D.
        """
        ignored = self.objective.ignored(y)
        if ignored is None or not ignored.any():
            return None
        return ~one_value(ignored, places)

    def advance(self, chunk: Batch, state: State | None) -> State:
        """Computes the state at a chunk's end, without running the head or computing losses."""
        return self.net.layers(self.net.embed(chunk["x"]), state, **present(chunk, *_OPTIONS))[1]

    def predict_chunk(self, chunk: Batch, state: State | None) -> tuple[dict[str, Tensor], State]:
        """Computes the outputs of a chunk."""
        y_hat, state = self._outputs(chunk, state)
        return {"prediction": y_hat}, state

    def sample_masks(self, rows: int, steps: int) -> DropoutMasks | None:
        """Draws a batch's dropout masks: once per sequence if variational, else for `steps` steps."""
        return self.net.sample_masks(rows, steps)

    def prepare_batch(self, batch: Any, needs_y: bool = True) -> Batch:
        """Checks that a batch fits the network; the subclasses also write into it which targets count."""
        batch = super().prepare_batch(batch, needs_y)
        if self.net.embedding is not None:
            check_tokens(batch["x"], self.net.embedding.num_embeddings)
        else:
            check_features(batch["x"], self.net.input_size)
        return batch

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Computes the outputs for a batch, chunk by chunk.

        Returns:
            `x`, `y` and `lengths` if the batch has them; what `Objective.predictions` returns; and with a
            `horizon`, `forecast` (B, horizon, O). For a batch with `units`, targets (NaN where they don't count) and
            predictions are in these units.
        """
        batch, outputs, state = self._predict(batch, batch_idx, dataloader_idx)
        y_hat = outputs["prediction"]
        result = present(batch, "x", "y", "lengths")
        if batch.get("units") is not None and "y" in result:
            y, mask = in_units(result["y"], batch), batch.get("mask")
            result["y"] = y if mask is None else y.masked_fill(~by_value(mask), torch.nan)
        if self.horizon:
            if batch.get("offset") is not None:
                raise ArgumentError(
                    f"horizon={self.horizon}: these data are scaled, so a forecast also needs what was fitted: use "
                    "rnn_lightning.data.series.forecast(model.net, data, horizon)"
                )
            result["forecast"] = self.forecast(y_hat, state, batch.get("lengths"))
        return {**result, **found_in_units(self.objective.predictions(y_hat), batch)}

    def _outputs(self, chunk: Batch, state: State | None) -> tuple[Tensor, State]:
        return self.net(chunk["x"], state, **present(chunk, *_OPTIONS))

    # Optimisation and checkpoints.

    def configure_optimizers(self) -> Any:
        """Makes the optimizer, and the scheduler with its interval."""
        optimizer, maker = self.make_optimizer(), self.lr_scheduler
        if maker is None:
            return optimizer
        instead = "give a function that makes one from the optimizer, such as lambda o: StepLR(o, step_size=10)"
        made = construct(lambda: maker(optimizer), {}, "lr_scheduler", instead, is_own=False)
        scheduler = scheduler_config(made, self.lr_interval, self.automatic_optimization)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the names of the model's and the network's classes, and how the model is trained."""
        names = {"model": type(self).__name__, "network": type(self.net).__name__, "optimizer": self.optimizer_name}
        checkpoint |= names
        checkpoint["training"] = training_of(self)
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of another model; `load_from_checkpoint` also restores how the model was trained."""
        check_checkpoint(self, checkpoint)
        super().on_load_checkpoint(checkpoint)
        if self._trainer is None:
            train_as(self, checkpoint.get("training", {}), given=checkpoint.get("hyper_parameters", {}))
            self.optimizer_name = self._try_optimizer()
        elif self._trainer.state.fn == TrainerFn.FITTING:
            saved = checkpoint.get("optimizer", self.optimizer_name)
            if saved != self.optimizer_name:
                raise ArgumentError(
                    f"the checkpoint is from a run with {saved}, but this one has {self.optimizer_name}: resume with "
                    "the same optimizer, or begin a new run from its weights (model.weights)"
                )
            tell_what_continues(self, checkpoint.get("training", {}))

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Makes the optimizer of all parameters, with the learning rate `lr` if it is set."""
        optimizer = self.optimizer(self.parameters())
        for group in optimizer.param_groups if self.lr is not None else []:
            group["lr"] = self.lr
        return optimizer

    def _try_optimizer(self) -> str:
        """Makes an optimizer to find wrong arguments before any work is done; returns the name of its class."""
        made = construct(
            self.make_optimizer, {}, "optimizer", "give a torch.optim class with valid arguments", is_own=False
        )
        if isinstance(made, torch.optim.SparseAdam):
            raise ArgumentError("SparseAdam needs sparse gradients, but this network's are dense: use Adam")
        return type(made).__name__


def _check_direction(bidirectional: bool, tbptt: TruncatedBPTT | None, carry_state: bool) -> None:
    if bidirectional and (tbptt is not None or carry_state):
        raise ArgumentError(
            f"bidirectional=true does not work with {'carry_state' if tbptt is None else 'tbptt'}: the backward "
            "direction starts at the sequence's end, so it cannot be run in chunks; turn one of them off"
        )
