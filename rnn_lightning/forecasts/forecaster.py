"""`Forecaster`: a network that reads raw values and returns raw forecasts. It needs only torch.

Legend: B rows, T time steps, C predicted columns, K columns known ahead, L first steps, only used for differences.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from rnn_lightning.errors import ArgumentError
from rnn_lightning.forecasts.calendar import calendar_features
from rnn_lightning.forecasts.scaling import carry_forward, lagged, scaling_of
from rnn_lightning.nn.dropout import DropoutMasks
from rnn_lightning.nn.networks import RecurrentNet
from rnn_lightning.nn.state import State

ForecastState: TypeAlias = tuple[State, Tensor]
"""The network's state, and the last L raw values (B, L, C)."""


class Forecaster(nn.Module):
    """A `Seq2SeqNet` with its fitted values, whose inputs and outputs are in the file's units.

    The network's input at each step has three parts. The first is the difference between the value and the value `lag`
    steps earlier, shifted and scaled. The second, if values were missing in training, is a flag for each column that is
    true where its value is missing. The third is the next step's columns known ahead. Differences are computed in the
    type of `y`, so use float64 if values are large.

    Example:
        >>> forecaster = hub.load_exported("exported")
        >>> y = forecaster.forecast(history, steps=12)  # (B, T, C) -> (B, 12, C)

    Args:
        net: The network, trained on a `TimeSeries`.
        fitted: The fitted values of that `TimeSeries`.

    Attributes:
        columns: The names of the C columns: the targets, then the observed columns.
        known_names: The names of the K columns known ahead. The calendar's columns come last (see `calendar`).
        lead: L, the number of first steps of `y` that are only used for differences if there is no state.
    """

    shift: Tensor
    scale: Tensor
    known_shift: Tensor
    known_scale: Tensor

    def __init__(self, net: RecurrentNet, fitted: dict[str, Any]) -> None:
        super().__init__()
        self.net, self.fitted = net, fitted
        self.columns: list[str] = [*fitted["target"], *fitted["observed"]]
        self.circles: list[str] = fitted["calendar"]
        self.known_names: list[str] = [
            *fitted["known"],
            *(f"{part}_{name}" for name in self.circles for part in ("sin", "cos")),
        ]
        self.lags: list[int] = fitted["lags"]
        self.lead = max(1, *self.lags)
        self.flags: bool = fitted["flags"]
        for name in ("shift", "scale", "known_shift", "known_scale"):
            self.register_buffer(name, torch.tensor(fitted[name], dtype=torch.float64), persistent=False)
        check_sizes(net, fitted)
        self.eval()

    def calendar(self, times: Any) -> Tensor:
        """Computes the calendar's columns of `known` from the dates (N,) of the steps to predict.

        Dates are a numpy array of datetime64, a list of datetime, or microseconds since 1970. They are as in the file,
        or in UTC if the file has a time zone.
        """
        return calendar_features(times, self.circles)

    def scaling(self, series: str) -> tuple[Tensor, Tensor]:
        """Returns the shift (C,) and the scale (C,) of a series that the network was trained on.

        Raises:
            ArgumentError: There was no series with this id in training.
        """
        if series not in self.fitted["ids"]:
            raise ArgumentError(f"there was no series {series!r} in training: forecast it without shift and scale")
        at = self.fitted["ids"].index(series)
        return self.shift[at], self.scale[at]

    def forward(
        self,
        y: Tensor,
        known: Tensor | None = None,
        state: ForecastState | None = None,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        masks: DropoutMasks | None = None,
    ) -> tuple[Tensor, ForecastState]:
        """Predicts the value after each step.

        Args:
            y: (B, T, C) raw values, NaN where a value is missing. Without a state, the first L steps are only used for
                differences.
            known: (B, T, K) columns known ahead, for the steps after those of `y`; needed if K > 0.
            state: The final state of an earlier call.
            shift: (C,) or (B, C). By default, if there was one series in training, or `scale` was "none", `shift` and
                `scale` are those of training. Otherwise, they are computed from the history `y`.
            scale: (C,) or (B, C); see `shift`.
            masks: The network's dropout masks, if it is in training mode; see `RecurrentNet.sample_masks`.

        Returns:
            The predictions, each one step after a step of `y`: (B, T, C), or (B, T - L, C) without a state; and the
            final state.

        Raises:
            ArgumentError: `y` is too short or has the wrong number of columns, `known` is missing, `shift` and `scale`
                are missing although a state is given, or only one of them is given.
        """
        if y.dim() != 3 or y.shape[2] != len(self.columns) or (state is None and y.shape[1] <= self.lead):
            raise ArgumentError(
                f"y has shape {tuple(y.shape)}: give (B, T, {len(self.columns)}), the columns {', '.join(self.columns)}, "
                f"with T above {self.lead}"
            )
        if self.known_names and known is None:
            raise ArgumentError(f"known is missing: give {', '.join(self.known_names)} for the steps after those of y")
        whole = y if state is None else torch.cat((state[1].to(y.dtype), y), dim=1)  # (B, L + T, C)
        filled = carry_forward(whole)
        shift, scale = self._scaling(whole, state is not None, shift, scale)
        steps = filled.shape[1] - self.lead
        z = (filled[:, self.lead :] - lagged(filled, self.lags, self.lead) - shift) / scale  # (B, T, C)
        parts = [torch.where(z.isnan(), torch.zeros_like(z), z)]
        if self.flags:
            parts.append(whole[:, self.lead :].isnan().to(z.dtype))
        if known is not None and self.known_names:
            parts.append((known[:, known.shape[1] - steps :].to(z) - self.known_shift.to(z)) / self.known_scale.to(z))
        x = torch.cat(parts, dim=-1).to(self.net.head.weight.dtype)
        out, hidden = self.net(x, None if state is None else state[0], None, masks)
        y_hat = lagged(filled, self.lags, self.lead, ahead=1) + shift + scale * out.to(y.dtype)
        return y_hat, (hidden, filled[:, filled.shape[1] - self.lead :])

    def step(
        self,
        y: Tensor,
        known: Tensor | None,
        state: ForecastState,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        masks: DropoutMasks | None = None,
    ) -> tuple[Tensor, ForecastState]:
        """Takes one step of a stream: from y (B, C) and known (B, K) to the predicted next y (B, C) and the state."""
        y_hat, state = self(y[:, None], None if known is None else known[:, None], state, shift, scale, masks)
        return y_hat[:, 0], state

    @torch.no_grad()
    def forecast(
        self,
        y: Tensor,
        steps: int,
        known: Tensor | None = None,
        shift: Tensor | None = None,
        scale: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Continues a history. Each prediction becomes the next value.

        Args:
            y: (B, T, C) the raw history, where T > L.
            steps: The number of steps to forecast.
            known: (B, T + steps - 1, K) columns known ahead, from the second step of `y` to the last step of the
                forecast; needed if K > 0.
            shift: As in `forward`.
            scale: As in `forward`.
            noise: (B, steps, C), added to each step's prediction before it becomes the next value.

        Returns:
            The forecast (B, steps, C).

        Raises:
            ArgumentError: As for `forward`, or `known` has the wrong number of steps.
        """
        history = y.shape[1]
        if known is not None and known.shape[1] != history + steps - 1:
            raise ArgumentError(f"known has {known.shape[1]} steps: give {history + steps - 1}, for y and the forecast")
        shift, scale = self._scaling(y, False, shift, scale)
        masks = self.net.sample_masks(len(y)) if self.net.training and self.net.layers.variational else None
        y_hat, state = self(y, None if known is None else known[:, :history], None, shift, scale, masks)
        y_hat = y_hat[:, -1]
        forecast = []
        for at in range(steps):
            if at:
                of_step = None if known is None else known[:, history + at - 1]
                y_hat, state = self.step(y_hat, of_step, state, shift, scale, masks)
            y_hat = y_hat if noise is None else y_hat + noise[:, at]
            forecast.append(y_hat)
        return torch.stack(forecast, dim=1)

    def _scaling(self, y: Tensor, has_state: bool, shift: Tensor | None, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the shift and the scale to use, each (1, 1, C) or (B, 1, C)."""
        if (shift is None) != (scale is None):
            one, other = ("shift", "scale") if scale is None else ("scale", "shift")
            raise ArgumentError(f"{one} is given without {other}: give both, or neither")
        if shift is None or scale is None:
            if len(self.shift) == 1 or not self.fitted["scaled"]:
                shift, scale = self.shift[:1], self.scale[:1]  # without scales, those of all series are 0 and 1
            elif has_state:
                raise ArgumentError("give shift and scale with a state: there is no history to compute them from")
            else:
                return scaling_of(y, self.lags, self.lead)
        size = (-1, 1, y.shape[2])
        return shift.to(y).reshape(size), scale.to(y).reshape(size)


def check_sizes(net: RecurrentNet, fitted: dict[str, Any]) -> None:
    """Raises `ArgumentError` if a network's numbers of inputs and outputs do not match the fitted columns."""
    names = [*fitted["target"], *fitted["observed"]]
    inputs = len(names) * (1 + fitted["flags"]) + len(fitted["known"]) + 2 * len(fitted["calendar"])
    found = net.input_size, net.head.out_features
    if found != (inputs, len(names)):
        raise ArgumentError(
            f"a network with {found[0]} inputs and {found[1]} outputs cannot forecast {', '.join(names)}, which needs "
            f"{inputs} inputs and {len(names)} outputs, one value each: give a loss for values (no quantiles, no "
            "variance), or the network that was trained with these fitted values"
        )
