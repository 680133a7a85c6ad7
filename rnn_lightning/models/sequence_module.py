"""`SequenceModule`: what `Seq2Vec` and `Seq2Seq` share, from the network's arguments to the metrics.

Legend: B batch (rows), T time steps, I input features, O outputs.
"""

from dataclasses import asdict
from inspect import signature
from typing import Any

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.models.batch import Batch, check_features, check_tokens
from rnn_lightning.models.checkpoint import check_checkpoint, load_weights
from rnn_lightning.models.objective import Objective, Task
from rnn_lightning.models.plain import plain
from rnn_lightning.models.remembered import maker, remember
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

TRAINING = ("tbptt", "carry_state", "weights", "optimizer", "lr_scheduler", "lr_interval")
"""Arguments that say how to train. The hyperparameters are the others, those of the network: plain numbers and names."""

_NETWORK = tuple(signature(RecurrentNet).parameters)
_NOT_BOTH = (
    "bidirectional=true does not go with {}: the backward direction starts at the sequence's end, so it cannot be run in "
    "chunks; set one of them off"
)


class SequenceModule(TruncatedBPTTModule):
    """A recurrent network with its loss, metrics and optimisation. Use `Seq2Vec` or `Seq2Seq`.

    Args:
        input_size: Features I of each time step, or with `embedding_size` the number of different tokens; from the data
            module on the command line.
        output_size: Outputs O, classes or values to predict; from the data module on the command line.
        task: "classification" (cross-entropy, `acc`) or "regression" (mean squared error, `mae`). If not given, the data
            module's `task` if it has one; else `Seq2Vec` classifies and `Seq2Seq` regresses.
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
        embedding_size: Size of the vector that stands for each token, for batches whose x are integer tokens (B, T); None
            for features.
        tie_weights: Whether the embedding and the head share one matrix; needs embedding_size == hidden_size.
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
    handles_reset = True
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
        embedding_size: int | None = None,
        tie_weights: bool = False,
        tbptt: TruncatedBPTT | None = None,
        carry_state: bool = False,
        weights: str | None = None,
        optimizer: OptimizerCallable = torch.optim.Adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: LRInterval = "epoch",
    ) -> None:
        super().__init__(tbptt, carry_state, lr_interval)
        if bidirectional and (tbptt is not None or carry_state):
            raise ArgumentError(_NOT_BOTH.format("tbptt" if tbptt is not None else "carry_state"))
        self.save_hyperparameters(ignore=TRAINING)
        self.hparams.update(plain(dict(self.hparams))[0])  # numpy's numbers and the like
        self.net = self.network(**{name: value for name, value in self.hparams.items() if name in _NETWORK})
        self.objective = Objective(task or self.default_task, self.hparams["output_size"])
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.lr: float | None = None  # in place of the optimizer's own; LearningRateFinder sets it
        self.optimizer_name = self._try_optimizer()
        self.fresh_head = weights is not None and not load_weights(self.net, weights, dict(self.hparams))

    def setup(self, stage: str) -> None:
        """Takes over the data module's task, where none was given."""
        task = getattr(getattr(self.trainer, "datamodule", None), "task", None)
        if task is not None and self.hparams.get("task") is None:
            self.hparams["task"] = task  # for checkpoints
            self.objective = Objective(task, self.hparams["output_size"])

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """The network's own `forward`: x (B, T, I) -> the outputs and the final state."""
        return self.net(x, state, lengths)

    @torch.no_grad()
    def step(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One time step of a stream, for inference; call `eval()` first, and give each call the state of the one before.

        Args:
            x: (B, I), or tokens (B,).
            state: The state after the step before; None at the beginning of the sequences.

        Returns:
            y (B, O), and the state for the next step.
        """
        return self.net.step(x, state)

    # What the two modules give.

    def valid(self, chunk: Batch) -> Tensor | None:
        """Which targets of a chunk count, in the shape of class indices; None if all do."""
        raise NotImplementedError

    def read(self, output: Tensor, state: State) -> Tensor:
        """The network's outputs, from the top layer's outputs (B, T, H) and the final state."""
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

    def chunk_step(self, chunk: Batch, state: State | None) -> tuple[Tensor, Tensor | int, State, dict[str, Tensor]]:
        """Loss and metric of a chunk over its valid targets, and its outputs."""
        y_hat, state = self._outputs(chunk, state)
        valid = self.valid(chunk)
        y = self.objective.prepare(y_hat, chunk["y"], valid)
        targets = y_hat.shape[:-1].numel() if valid is None else valid.sum()
        more = {self.objective.metric: self.objective.score_sum(y_hat, y, valid), "prediction": y_hat}
        return self.objective.loss_sum(y_hat, y, valid), targets, state, more

    def advance(self, chunk: Batch, state: State | None) -> State:
        """The state at a chunk's end, without the head and the losses."""
        x = self.net.embed(chunk["x"])
        return self.net.layers(x, state, chunk.get("lengths"), chunk.get("masks"), chunk.get("reset"))[1]

    def predict_chunk(self, chunk: Batch, state: State | None) -> tuple[dict[str, Tensor], State]:
        """The outputs of a chunk."""
        y_hat, state = self._outputs(chunk, state)
        return {"prediction": y_hat}, state

    def sample_masks(self, rows: int, steps: int) -> DropoutMasks | None:
        """The dropout masks of a batch: once a sequence if variational, else for these steps."""
        return self.net.sample_masks(rows, steps)

    def prepare_batch(self, batch: Any, needs_y: bool = True) -> Batch:
        """Checks what the data loader gave against the network."""
        batch = super().prepare_batch(batch, needs_y)
        if self.net.embedding is not None:
            check_tokens(batch["x"], self.net.embedding.num_embeddings)
        else:
            check_features(batch["x"], self.net.layers.input_size)
        return batch

    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """The outputs for a batch, chunk by chunk.

        Returns:
            `x`, `y` and `lengths` as far as the batch has them; `prediction`, class indices or values in the shape of
            y; for classification also `probability` (..., O); with a `horizon` also `forecast` (B, horizon, O).
        """
        batch, outputs, state = self._predict(batch, dataloader_idx)
        y_hat = outputs["prediction"]
        result = {key: batch[key] for key in ("x", "y", "lengths") if batch.get(key) is not None}
        if self.horizon:
            result["forecast"] = self.forecast(y_hat, state, batch.get("lengths"))
        if not self.objective.classifies:
            return {**result, "prediction": y_hat}
        return {**result, "prediction": y_hat.argmax(-1), "probability": y_hat.softmax(-1)}

    def _outputs(self, chunk: Batch, state: State | None) -> tuple[Tensor, State]:
        return self.net(chunk["x"], state, chunk.get("lengths"), chunk.get("masks"), chunk.get("reset"))

    # Optimisation and checkpoints.

    def configure_optimizers(self) -> Any:
        """The optimizer, and the scheduler with the interval it steps at."""
        optimizer = self._make_optimizer()
        if self.lr_scheduler is None:
            return optimizer
        scheduler = scheduler_config(self.lr_scheduler(optimizer), self.lr_interval, self.automatic_optimization)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the classes of the model and its network, and how it is trained."""
        names = {"model": type(self).__name__, "network": type(self.net).__name__, "optimizer": self.optimizer_name}
        checkpoint |= names
        scheduler = self.lr_scheduler
        checkpoint["training"] = {
            "tbptt": None if self.tbptt is None else asdict(self.tbptt),
            "carry_state": self.carry_state,
            "lr_interval": self.lr_interval,
            "optimizer": remember(self.optimizer, self.parameters),
            "lr_scheduler": None if scheduler is None else remember(scheduler, self._make_optimizer),
        }
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of another model; `load_from_checkpoint` also takes over how it was trained."""
        check_checkpoint(self, checkpoint)
        super().on_load_checkpoint(checkpoint)
        if self._trainer is None:
            self._train_as(checkpoint.get("training", {}), given=checkpoint.get("hyper_parameters", {}))
        elif self._trainer.state.fn == TrainerFn.FITTING:
            saved = checkpoint.get("optimizer", self.optimizer_name)
            if saved != self.optimizer_name:
                raise ArgumentError(
                    f"the checkpoint is of a run with {saved}, this one has {self.optimizer_name}: resume with the same "
                    "optimizer, or begin a new run from its weights (model.weights)"
                )

    def _train_as(self, saved: dict[str, Any], given: dict[str, Any]) -> None:
        """Sets what a checkpoint says of the training; what `load_from_checkpoint` was given holds over it."""
        saved = {name: value for name, value in saved.items() if name not in given}
        if "tbptt" in saved:
            self.truncate(saved["tbptt"])
        self.carry_state = saved.get("carry_state", self.carry_state)
        self.lr_interval = saved.get("lr_interval", self.lr_interval)
        for name in ("optimizer", "lr_scheduler"):
            value = saved.get(name)
            make = maker(value) if isinstance(value, dict) else None
            if make is not None:
                setattr(self, name, make)
            elif value is not None:
                wanted = value if isinstance(value, str) else value["name"]
                instead = self.optimizer_name if name == "optimizer" else "none"
                rank_zero_warn(
                    f"the checkpoint is of a run whose {name} was a {wanted} of arguments that it could not keep: a "
                    f"further fit has {instead}; give {name}=... to load_from_checkpoint"
                )
        self.optimizer_name = self._try_optimizer()

    def _make_optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.optimizer(self.parameters())
        for group in optimizer.param_groups if self.lr is not None else []:
            group["lr"] = self.lr
        return optimizer

    def _try_optimizer(self) -> str:
        """The class of the optimizer; it is made at once, so that wrong arguments show before any work is done."""
        try:
            made = self._make_optimizer()
            if isinstance(made, torch.optim.SparseAdam):
                raise ArgumentError("SparseAdam takes sparse gradients, those of this network are dense: use Adam")
            return type(made).__name__
        except ArgumentError:
            raise
        except (TypeError, ValueError) as error:
            raise ArgumentError(
                f"optimizer cannot be made ({error}): give a torch.optim class with valid arguments"
            ) from error
