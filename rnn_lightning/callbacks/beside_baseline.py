"""`BesideBaseline`: compares the test's metrics with those of the naive answer, to reveal a useless network."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from rnn_lightning.callbacks.naive_answers import show_table
from rnn_lightning.forecasts.text_table import text_table

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
