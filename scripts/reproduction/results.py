"""Results of a plan: which there are, and how several seeds are shown as one."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from reproduction.systems import Run, plan

Result = dict[str, Any]
"""Of one fit, see `reproduction.fit.fit`."""
State = dict[str, Any]
"""`command`, `full`, `workers`, `seconds`, `machines`, `figures`, and `runs`: name/seed to result."""


def usable(state: State, run: Run) -> Result | None:
    """The result of a run, if there is one of the same arguments."""
    result: Result | None = state["runs"].get(run.key)
    return result if result is not None and result["arguments"] == list(run.arguments) else None


class Found:
    """The results of a plan, by system: one for each seed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.results: dict[str, list[Result]] = {}
        for run in plan(state["full"]):
            result = usable(state, run)
            self.results.setdefault(run.name, []).extend([] if result is None else [result])

    def done(self, name: str) -> list[Result]:
        """Results of the fits that came to their end."""
        return [result for result in self.results.get(name, []) if "error" not in result]

    def show(self, name: str, value: Callable[[Result], float | None], form: str = ".4f") -> str:
        """The mean over the seeds and their range; or why there is none."""
        done = self.done(name)
        values = [v for v in map(value, done) if v is not None]
        failed = len(self.results.get(name, [])) - len(done)
        if not values:
            return "diverged" if failed else "not run"
        text = spread(values, form)
        return f"{text}, {failed} of {failed + len(done)} diverged" if failed else text


def spread(values: Sequence[float], form: str) -> str:
    """The mean, and for several values their range."""
    mean = f"{statistics.fmean(values):{form}}"
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *(list(row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds(result: Result) -> float:
    """Of processor time in the fit, validations included."""
    return float(result["seconds"])


def test(metric: str) -> Callable[[Result], float | None]:
    """The metric of the best checkpoint on the test set."""
    return lambda result: result["test"].get(f"test/{metric}")
