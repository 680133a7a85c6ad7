"""`BesideBaseline`: compares the test's metrics with those of the naive answer, to reveal a useless network."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from rnn_lightning.callbacks.tensorboard import as_code, tensorboard_loggers
from rnn_lightning.files import write_atomically
from rnn_lightning.forecasts.scores import text_table
from rnn_lightning.runs import run_folder

_LOWER_IS_BETTER = ("loss", "mae")


class BesideBaseline(Callback):
    """Compares the network with the naive answer in a table after each test.

    The table is shown in the terminal and in TensorBoard, and written as `baseline.txt` to the folder of the run whose
    checkpoint was tested; `baseline.json` has the same numbers. The data module must have `baseline`, a dict of metrics
    such as `test/acc`, and `baseline_name`.
    """

    @override
    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        baseline = getattr(data, "baseline", None)
        if not isinstance(baseline, Mapping) or not trainer.is_global_zero:
            return
        found = {name: float(trainer.callback_metrics[name]) for name in baseline if name in trainer.callback_metrics}
        text = comparison(found, baseline, data.baseline_name)
        show_table(trainer, "baseline", text, {"the network": found, data.baseline_name: dict(baseline)})


def comparison(network: Mapping[str, float], baseline: Mapping[str, float], name: str) -> str:
    """Formats a table of the network's metrics and the naive answer's, and says if the network is no better.

    Args:
        network: The network's metrics.
        baseline: The naive answer's metrics.
        name: The name of the naive answer.
    """
    rows = {"the network": list(network.values()), name: [baseline[metric] for metric in network]}
    lines = text_table("", list(network), rows)
    for metric, value in network.items():
        lower = metric.rpartition("/")[2] in _LOWER_IS_BETTER
        if (value >= baseline[metric]) if lower else (value <= baseline[metric]):
            lines.append(
                f"In {metric} the network is no better than the {name}: it may need more epochs, another learning rate, "
                "inputs of a similar scale, or more data."
            )
            break
    return "\n".join(lines)


def show_table(trainer: Trainer, name: str, text: str, values: Any) -> None:
    """Prints a table, and writes it to TensorBoard as `test/NAME` and to the folder of the run that was tested.

    Args:
        trainer: The Trainer. It must have run a test, and must be on rank zero.
        name: NAME in TensorBoard and in the file names.
        text: The table.
        values: The numbers of the table as plain values, for `NAME.json`, where null stands for NaN and infinity.
    """
    print(text)
    for logger in tensorboard_loggers(trainer):
        logger.experiment.add_text(f"test/{name}", as_code(text))
    checkpoint = getattr(trainer, "ckpt_path", None)
    if checkpoint and "://" not in str(checkpoint):
        folder = Path(run_folder(str(checkpoint)))
        write_atomically(folder / f"{name}.txt", f"{text}\n")
        numbers = json.loads(json.dumps(values), parse_constant=lambda _: None)  # JSON has no NaN
        write_atomically(folder / f"{name}.json", json.dumps(numbers, indent=1) + "\n")
