"""`Source`: reads a table from a CSV file, a Parquet file or a DataFrame, and names faulty rows in messages."""

import csv
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np

from rnn_lightning.data.text_files import COMPRESSED
from rnn_lightning.errors import ArgumentError
from rnn_lightning.files import file_system

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3
"""How many faulty rows a message shows."""
_MISSING = [
    *("", "NA", "N/A", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "NaN", "None", "n/a", "nan", "null", "-NaN", "-nan"),
    *("-1.#IND", "1.#IND", "-1.#QNAN", "1.#QNAN"),
]
"""Strings that pandas reads as missing values, except in the column of ids, where they are names."""
UNNAMED = "Unnamed: "
"""How pandas names a column without a name, followed by its position. It is often an index written with the table."""
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The first bytes of UTF-16 text."""


@dataclass(frozen=True)
class Source:
    """A table to read.

    Attributes:
        path: A CSV or Parquet file, or a pandas DataFrame.
        separator: The separator of the columns in a CSV file, as typed. "tab" means a tab.
        encoding: The encoding of a CSV file.

    Raises:
        ArgumentError: pandas is missing. Methods also raise it if the file does not exist, is empty, or is not a table.
    """

    path: Any
    separator: str = ","
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
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
        """Whether the table is a DataFrame."""
        return hasattr(self.path, "columns") and hasattr(self.path, "iloc")

    @property
    def is_parquet(self) -> bool:
        """Whether the table is a Parquet file."""
        return not self.is_frame and Path(self.path).suffix.lower() in (".parquet", ".pq")

    def names(self) -> list[str]:
        """Reads the names of the columns."""
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
        """Loads the given columns. In a CSV file, the values of the column `text` are read as text."""
        import pandas as pd

        if self.is_frame:
            return self.path.set_axis(self.names(), axis=1)[columns]
        if self.is_parquet:
            table = pd.read_parquet(self.path, columns=columns)
            return table if set(columns) <= set(table) else table.reset_index()[columns]  # the index may be one of them
        options: dict[str, Any] = {}
        if text is not None:  # an id may be "NA"
            missing = {name: [""] if name == text else _MISSING for name in self._names_of_csv()}
            options = {"dtype": {text: str}, "keep_default_na": False, "na_values": missing}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # it may be about columns that are not used
                # All columns are read, as `usecols` would drop a row's surplus values, such as those of decimal commas.
                table = pd.read_csv(
                    self.path, sep=self._delimiter, encoding=self.encoding, skipinitialspace=True, **options
                )
            return table[columns]
        except UnicodeError as error:
            raise self._wrong_encoding(error) from error
        except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
            raise ArgumentError(
                f"{self} is not a readable CSV ({' '.join(str(error).split())}): correct the file, or give --data.separator"
            ) from error

    def rows(self, lines: np.ndarray, texts: Any) -> str:
        """Names the first few rows, counted as in an editor: `row 12 (2020-01-03), row 14 (...) and 5 more`."""
        first = 0 if self.is_frame else 1 if self.is_parquet else 2
        shown = [f"row {line + first} ({text})" for line, text in zip(lines[:SHOWN], texts, strict=False)]
        more = f" and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        return ", ".join(shown) + more

    def check(self, name: str, wrong: np.ndarray, texts: Any, fault: str, remedy: str) -> None:
        """Raises `ArgumentError` if there are faulty rows in a column, and names the first few with their texts."""
        if len(wrong):
            raise ArgumentError(f"{self}: column {name} {fault} in {self.rows(wrong, texts)}: {remedy}")

    @property
    def _delimiter(self) -> str:
        r"""The single character between columns. A shell passes `\t` as two characters."""
        separator = "\t" if self.separator in ("\\t", "tab") else self.separator
        if not isinstance(separator, str) or len(separator) != 1 or separator in '"\r\n':
            raise ArgumentError(f"separator={separator!r}: give the one character between columns, such as ';', or tab")
        return separator

    def _names_of_csv(self) -> list[str]:
        used = self._delimiter
        try:
            encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
            opened: Any = fsspec.open if "://" in str(self.path) else open
            with opened(self.path, "rt", newline="", encoding=encoding) as file:
                lines = csv.reader(file, delimiter=used, skipinitialspace=True)
                names, first = next(lines, []), next(lines, [])
        except (UnicodeError, LookupError) as error:
            raise self._wrong_encoding(error) from error
        except OSError as error:
            raise ArgumentError(f"{self} cannot be read ({error.strerror or error})") from error
        except csv.Error as error:
            raise ArgumentError(f"{self} is not a table of text ({error}): give a .csv or a .parquet file") from error
        if not any(name.strip() for name in names):
            raise ArgumentError(f"{self} has no header in its first row: give a file with column names and rows")
        other = next((s for s in ";\t|," if len(names) == 1 and s != used and s in names[0]), None)
        if other is not None:
            typed = "tab" if other == "\t" else repr(other)
            raise ArgumentError(
                f"{self} has one column, {names[0]!r}: its separator is not {used!r}; give --data.separator {typed}"
            )
        if len(first) > len(names):
            columns = "one column" if len(names) == 1 else f"{len(names)} columns"
            raise ArgumentError(
                f"{self} has {columns} and {len(first)} values in row 2: write decimals with a point, "
                f"put strings that contain {used!r} in quotes, or give --data.separator"
            )
        return [name or f"{UNNAMED}{at}" for at, name in enumerate(names)]

    def _check_file(self) -> None:
        """Refuses files whose names or first bytes show that they cannot be read."""
        if not isinstance(self.path, (str, Path)):
            kind = type(self.path).__name__
            raise ArgumentError(f"path is a {kind}: give a .csv or .parquet file, or a pandas DataFrame")
        if "://" in str(self.path):
            file_system(self.path)  # refuses unknown protocols
            return
        if os.path.isdir(self.path):
            raise ArgumentError(f"{self} is a folder: give one .csv or .parquet file")
        if not os.path.isfile(self.path):  # also false for a name that no file system allows
            raise ArgumentError(f"there is no file {self}: give the path of a .csv or .parquet file")
        try:
            with open(self.path, "rb") as file:
                begin = file.read(6)
        except OSError as error:
            raise ArgumentError(f"{self} cannot be read ({error.strerror})") from error
        for wrong, words in (
            (Path(self.path).suffix.lower() in _SHEETS, "is a spreadsheet: save it as CSV, and give that file"),
            (not begin, "is empty: give a file with a header and rows"),
            (begin.startswith(COMPRESSED), "is compressed: unpack it, and give the .csv file that was in it"),
            (begin.startswith(b"PAR1") and not self.is_parquet, "is a Parquet file: rename it to end in .parquet"),
            (
                begin.startswith(_UTF_16) and self.encoding == "utf-8",
                "is not text in utf-8: save it in UTF-8, or give --data.encoding utf-16",
            ),
        ):
            if wrong:
                raise ArgumentError(f"{self} {words}")

    def _wrong_encoding(self, error: Exception) -> ArgumentError:
        return ArgumentError(
            f"{self} is not text in {self.encoding} ({error}): save it in UTF-8, or give --data.encoding, such as latin-1"
        )
