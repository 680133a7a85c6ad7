"""Monte Carlo dropout: draws many paths of one forecast, each with its own dropout.

Legend: B origins, M paths for each, C columns, N steps of a forecast.
"""

import torch
from torch import Tensor

from rnn_lightning.errors import ArgumentError
from rnn_lightning.forecasts.backtest import NETWORK, Errors, Origins
from rnn_lightning.forecasts.forecaster import Forecaster
from rnn_lightning.nn.networks import RecurrentNet

_DROPOUTS = ("input_dropout", "output_dropout", "state_dropout")


class Paths:
    """Draws paths with the network's dropout on, and adds one of the network's own errors at each step.

    Dropout alone shows how uncertain the weights are, but not how noisy the series is, so its intervals would be too
    narrow. Therefore, one-step errors are added, which are drawn from those on the validation part. Variational dropout
    masks stay the same along a path. The draws are the same each time, and do not affect other random numbers.

    Args:
        forecaster: The network with its fitted values.
        past: The errors on the validation part.
        samples: M, the number of paths for each origin.

    Raises:
        ArgumentError: The network has no dropout, or there are no errors on the validation part.
    """

    def __init__(self, forecaster: Forecaster, past: Errors, samples: int) -> None:
        check_dropout(forecaster.net, samples)
        if not past.by:
            raise ArgumentError(
                f"samples={samples}: the validation part is too short to take errors from: raise data.val"
            )
        errors = past.by[NETWORK][:, 0] / past.scale  # (B, C), one step ahead
        self.errors = errors[~errors.isnan().any(1)]
        self.forecaster, self.samples = forecaster, samples

    @torch.no_grad()
    def bounds(self, origins: Origins, steps: int, level: float) -> Tensor:
        """Draws paths, and returns the quantiles (2, B, N, C), on the CPU, between which the share `level` of them is."""
        origins = origins.to(self.forecaster.net.head.weight.device)
        y, shift, scale = (v.repeat_interleave(self.samples, 0) for v in (origins.y, origins.shift, origins.scale))
        known = None if origins.known is None else origins.known.repeat_interleave(self.samples, 0)
        errors = self.errors.to(y)
        devices = [] if y.device.type == "cpu" else [y.device]
        with torch.random.fork_rng(devices, device_type=y.device.type if devices else "cuda"):
            torch.manual_seed(0)
            noise = errors[torch.randint(len(errors), (len(y), steps), device=y.device)] * scale[:, None]
            self.forecaster.net.train()
            try:
                found = self.forecaster.forecast(y, steps, known, shift, scale, noise)
            finally:
                self.forecaster.net.eval()
        tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device=y.device)
        return found.view(len(origins.y), self.samples, steps, -1).quantile(tails, dim=1).cpu()


def check_dropout(net: RecurrentNet, samples: int) -> None:
    """Raises `ArgumentError` if a network has no dropout to sample."""
    if not any(getattr(net.layers, name, 0) for name in _DROPOUTS):
        raise ArgumentError(
            f"samples={samples}: this network has no dropout to sample; train with state_dropout, or leave samples out"
        )
