"""One fit through the package's own command line, and what comes of it as plain numbers."""

import contextlib
import csv
import io
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from reproduction.systems import Run
from rnn_lightning.cli import CLI, main

Result = dict[str, Any]


def prepare_process() -> None:
    """Makes a process compute on one thread, as small networks gain nothing from more, and lets it only warn."""
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


def fit(run: Run, data_dir: str) -> Result:
    """Fits one system in a folder that is thrown away.

    Args:
        run: The system and its seed.
        data_dir: The folder of MNIST.

    Returns:
        `arguments` and `whole`, the seconds of processor time; and either `error`, the line on a loss that became
        infinite, or `seconds` of processor time in the fit alone, `epochs`, `steps` of the optimizer, `batches`,
        `parameters`, `validation` by epoch, `test` of the best checkpoint, and `predictions` where they are drawn.

    Raises:
        RuntimeError: The command line refused the run for another reason.
    """
    result: Result = {"arguments": list(run.arguments)}
    begin = time.process_time()

    class Timed(CLI):
        """The command line, which also keeps how long the fit took and how far it came.

        Processor time: other work on the machine makes it hardly longer, and on one thread it is what a free machine takes.
        """

        def fit(self, **arguments: Any) -> None:
            start = time.process_time()
            self.trainer.fit(**arguments)
            result["seconds"] = round(time.process_time() - start, 2)
            result["epochs"], result["steps"] = self.trainer.current_epoch, self.trainer.global_step
            result["batches"] = self.trainer.fit_loop.total_batch_idx + 1
            result["parameters"] = sum(p.numel() for p in self.model.parameters())

        def after_fit(self) -> None:
            super().after_fit()
            metrics = self.trainer.callback_metrics
            result["test"] = {k: _short(v) for k, v in metrics.items() if k.startswith("test/")}

    errors = io.StringIO()
    silent = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    with (
        tempfile.TemporaryDirectory() as folder,
        open(os.devnull, "w") as screen,
        contextlib.redirect_stdout(screen),
        contextlib.redirect_stderr(errors),
    ):
        common = ["--trainer.accelerator=cpu", *silent]
        common += [f"--data.data_dir={Path(data_dir).absolute()}"] if run.mnist else []
        logger = {"save_dir": folder, "name": run.name, "version": "run"}
        logged = [f"--trainer.logger.{key}={value}" for key, value in logger.items()]
        seed = f"--seed_everything={run.seed}"
        try:
            main(["fit", *run.arguments, "--trainer.logger=CSVLogger", *logged, seed, *common], Timed)
        except SystemExit as end:
            line = (errors.getvalue().strip().splitlines() or [f"exit {end.code}"])[-1]
            if "loss is" not in line:  # not the network's failure
                raise RuntimeError(f"{run.key}: {line}") from end
            return {"arguments": list(run.arguments), "error": line, "whole": round(time.process_time() - begin, 2)}
        own = Path(folder, run.name, "run")
        result["validation"] = _validation(own / "metrics.csv")
        if run.predicts:
            last = own / "checkpoints" / "last.ckpt"
            main(["predict", f"--config={own / 'config.yaml'}", f"--ckpt_path={last}", *common[:3]])
            result["predictions"] = _predictions(own / "predictions.csv")
    return {**result, "whole": round(time.process_time() - begin, 2)}


def _validation(path: Path) -> dict[str, list[float]]:
    """The validation metrics, a value for each epoch, from the run's `metrics.csv`."""
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("val/loss")]
    return {k: [_short(row[k]) for row in rows] for k in ("val/loss", "val/acc") if rows and k in rows[0]}


def _predictions(path: Path) -> dict[str, list[float]]:
    """The columns of a run's `predictions.csv`."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {k: [_short(row[k]) for row in rows] for k in ("x_0", "y", "prediction")}


def _short(number: Any) -> float:
    """A number with six digits: more would say nothing, and make the results' file long."""
    return float(f"{float(number):.6g}")
