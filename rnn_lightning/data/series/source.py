"""`Source`: where a table is from, a CSV file, a Parquet file or a DataFrame, and how its faulty rows are told."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3
"""How many faulty rows a message shows."""


@dataclass(frozen=True)
class Source:
    """A table that is read.

    Attributes:
        path: A CSV or Parquet file, or a pandas DataFrame.
        separator: The separator of the columns in a CSV file.
        encoding: The encoding of a CSV file.

    Raises:
        ArgumentError: pandas is missing. From the methods: the file does not exist, is empty, or is not a table.
    """

    path: Any
    separator: str = ","
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        """Checks that pandas is there."""
        try:
            import pandas  # noqa: F401
        except ImportError as error:
            raise ArgumentError(
                'TimeSeries needs pandas, which is not installed: pip install "rnn-lightning[series]"'
            ) from error

    def __str__(self) -> str:
        return "the DataFrame" if self.is_frame else str(self.path)

    @property
    def is_frame(self) -> bool:
        """Whether it is a DataFrame."""
        return hasattr(self.path, "columns") and hasattr(self.path, "iloc")

    @property
    def is_parquet(self) -> bool:
        """Whether it is a Parquet file."""
        return not self.is_frame and Path(self.path).suffix.lower() in (".parquet", ".pq")

    def names(self) -> list[str]:
        """The names of the columns."""
        if self.is_frame:
            return [str(name) for name in self.path.columns]
        self._check_file()
        if not self.is_parquet:
            return self._names_of_csv()
        from pyarrow import ArrowException, parquet

        try:
            return [name for name in parquet.read_schema(self.path).names if name != "__index_level_0__"]
        except (ArrowException, OSError) as error:
            raise ArgumentError(
                f"{self} is not a readable Parquet file ({error}): give a .parquet or .csv file"
            ) from error

    def load(self, columns: list[str], text: str | None = None) -> "pd.DataFrame":
        """Some of the columns; `text` is one whose values are left as they are written."""
        import pandas as pd

        if self.is_frame:
            return self.path[columns]
        if self.is_parquet:
            return pd.read_parquet(self.path, columns=columns)
        options: dict[str, Any] = {} if text is None else {"dtype": {text: str}}
        try:
            return pd.read_csv(self.path, usecols=columns, sep=self.separator, encoding=self.encoding, **options)
        except UnicodeError as error:
            raise self._wrong_encoding(error) from error
        except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
            raise ArgumentError(
                f"{self} is no readable CSV ({error}): mend the file, or give --data.separator"
            ) from error

    def rows(self, lines: np.ndarray, texts: Any) -> str:
        """Names the first few of some rows, counted as in an editor: `row 12 (2020-01-03), row 14 (...) and 5 more`."""
        first = 0 if self.is_frame else 1 if self.is_parquet else 2
        shown = [f"row {line + first} ({text})" for line, text in zip(lines[:SHOWN], texts, strict=False)]
        more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        return ", ".join(shown) + more

    def check_no_gap(self, name: str, empty: np.ndarray, remedy: str) -> None:
        """Raises `ArgumentError` if a column that must be full is empty in some rows."""
        if len(empty):
            where = self.rows(empty, ["empty"] * SHOWN)
            raise ArgumentError(f"{self}: column {name} is empty in {where}: give every row its {remedy}")

    def _names_of_csv(self) -> list[str]:
        try:
            encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
            with open(self.path, newline="", encoding=encoding) as file:
                lines = csv.reader(file, delimiter=self.separator)
                names, first = next(lines, []), next(lines, [])
        except (UnicodeError, LookupError) as error:
            raise self._wrong_encoding(error) from error
        except csv.Error as error:
            raise ArgumentError(f"{self} is not a table of text ({error}): give a .csv or a .parquet file") from error
        used = self.separator
        if len(first) > len(names):
            raise ArgumentError(
                f"{self} has {len(names)} columns and {len(first)} values in row 2: write decimals with a point, "
                f"put texts with a {used!r} in quotes, or give --data.separator"
            )
        other = next((s for s in (";", "\t", "|", ",") if len(names) == 1 and s != used and s in names[0]), None)
        if other is not None:
            raise ArgumentError(
                f"{self} has one column, {names[0]!r}: its separator is not {used!r}: give --data.separator {other!r}"
            )
        return names

    def _check_file(self) -> None:
        if not isinstance(self.path, (str, Path)):
            kind = type(self.path).__name__
            raise ArgumentError(f"path is a {kind}: give a .csv or .parquet file, or a pandas DataFrame")
        if "://" in str(self.path):
            return
        if not Path(self.path).is_file():
            raise ArgumentError(f"there is no file {self}: change data.path")
        if Path(self.path).stat().st_size == 0:
            raise ArgumentError(f"{self} is empty: give a file with a header and rows")

    def _wrong_encoding(self, error: Exception) -> ArgumentError:
        return ArgumentError(
            f"{self} is not text in {self.encoding} ({error}): save it in UTF-8, or give --data.encoding, such as latin-1"
        )
