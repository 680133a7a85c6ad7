"""`SaveConfig`: decides where a fit is saved, and records its configuration."""

from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback

from rnn_lightning import runs
from rnn_lightning.callbacks import BestAndLast, PeriodicCheckpoint
from rnn_lightning.cli.loggers import folder_loggers
from rnn_lightning.cli.signatures import class_of
from rnn_lightning.files import remove_leftovers
from rnn_lightning.fitted import KEY


class SaveConfig(SaveConfigCallback):
    """Decides where a fit is saved, tells the checkpoint callbacks, and writes the run's record and configuration."""

    def __init__(self, parser: LightningArgumentParser, config: Any, **kwargs: Any) -> None:
        super().__init__(parser, config, **kwargs)
        config = config.clone()
        self._resumed = runs.resumed_folder(config.ckpt_path)
        config.ckpt_path = None  # the checkpoint from which this run began; a test with this file tests this run
        config.data.get("init_args", Namespace()).pop(KEY, None)  # the checkpoints contain it
        sizes = config.model.get("init_args", Namespace())
        sizes.pop("input_size", None)  # comes from the data, as does the other size, unless it was typed for a loss
        if sizes.get("output_size") is None:
            sizes.pop("output_size", None)
        # The parser has just made it, so it is valid.
        self._text = parser.dump(config, skip_unset=False, skip_validation=True, skip_link_targets=False)
        self._elsewhere = tuple(class_of(x.class_path) for x in folder_loggers(config.trainer, known=False))
        self._run = {"name": config.name, "model": config.model.class_path, "data": config.data.class_path}
        del self.parser, self.config  # the rest can be pickled for spawned processes

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Does this once, before the `setup` of the checkpoint callbacks."""
        if self.already_saved or stage != "fit":
            return
        self.already_saved = True
        folder = self._resumed or runs.new_folder(trainer, self._run["name"], self._elsewhere)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, (BestAndLast, PeriodicCheckpoint)) and callback.dirpath is None:
                callback.dirpath = f"{folder}/checkpoints"
        run = runs.Run.begin(folder, config=self._text, **self._run) if trainer.is_global_zero else None
        run = trainer.strategy.broadcast(run)
        assert run is not None, "the first process has already begun it"
        if trainer.local_rank == 0:
            if runs.Run.read(folder) != run:  # then this machine has its own disk
                run.write(folder, self._text)
            for place in (folder, f"{folder}/checkpoints"):
                remove_leftovers(place)
