"""The picture of a run's predictions: the first sequence with its forecast, or what a classifier takes for what."""

from pathlib import Path
from typing import Any

import torch

from rnn_lightning.callbacks.prediction_files import Prediction, one_output_a_step
from rnn_lightning.callbacks.timeline import Sequence, Timeline

_MISTAKES = 18


def save_picture(batches: list[Prediction], path: Path, data: Any = None) -> list[Path]:
    """Draws predictions as a PNG.

    - One value a step: inputs, targets and predictions of the first sequence, and the forecast if there is one.
    - One class a sequence, with known targets: the confusion matrix; beside it, as `*_mistakes.png`, some that were got
      wrong, where the data module can show them as images.

    Args:
        batches: What `predict_step` gave.
        path: The file, written beside and renamed.
        data: The data module, if there is one.

    Returns:
        The files that were written; none for outputs of another kind.
    """
    first = batches[0]
    if "probability" not in first:
        return [_draw_series(first, path, data)] if one_output_a_step(first) else []
    if one_output_a_step(first) or not all("y" in batch for batch in batches):
        return []
    return _draw_classes(batches, path, data)


def _draw_series(first: Prediction, path: Path, data: Any) -> Path:
    from rnn_lightning.figures import forecast_figure, save, window_figure

    sequence = Sequence.first_of(first)
    steps, ahead = len(sequence.x), first["forecast"].shape[1] if "forecast" in first else 0
    line = Timeline.of(sequence, steps + ahead, data)
    predictions = first["prediction"][0, :steps, 0].float().cpu()
    next_one = sequence.asks_for_next
    if ahead:
        forecast = torch.cat((predictions[-1:], first["forecast"][0, :, 0].float().cpu()))
        title = f"{ahead} steps beyond the window"
        t, values = line.t, line.values[:, 0]
        return save(
            forecast_figure(t[:steps], values[:steps], t[steps:], forecast, values[steps:], title, line.label), path
        )
    figure = window_figure(
        line.t[:steps],
        sequence.x[:, 0] if next_one else None,
        line.t[1 : steps + 1] if next_one else line.t[:steps],
        None if sequence.y is None else sequence.y[:, 0],
        predictions,
        title="Predictions on the first sequence",
        xlabel=line.label,
    )
    return save(figure, path)


def _draw_classes(batches: list[Prediction], path: Path, data: Any) -> list[Path]:
    from rnn_lightning.figures import confusion_figure, mistakes_figure, save

    y = torch.cat([batch["y"].flatten() for batch in batches]).cpu().long()
    prediction = torch.cat([batch["prediction"].flatten() for batch in batches]).cpu()
    probability = torch.cat([batch["probability"] for batch in batches]).float().cpu()  # (N, O)
    size = probability.shape[1]
    counts = torch.bincount(y * size + prediction, minlength=size * size).view(size, size)
    written = [save(confusion_figure(counts), path)]
    wrong = (prediction != y).nonzero().flatten()[:_MISTAKES]
    if len(wrong) and hasattr(data, "images") and len({batch["x"].shape[1:] for batch in batches}) == 1:
        images = data.images(torch.cat([batch["x"] for batch in batches]).cpu()[wrong].float())
        if images is not None:
            sure = probability[wrong, prediction[wrong]].tolist()
            figure = mistakes_figure(images, y[wrong].tolist(), prediction[wrong].tolist(), sure)
            written.append(save(figure, path.with_name(f"{path.stem}_mistakes.png")))
    return written
