"""Tables as files: names of columns, and the columns, of a CSV file, a Parquet file or a DataFrame."""

import csv
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnn_lightning.errors import ArgumentError

if TYPE_CHECKING:
    import pandas as pd

_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods")


def column_names(path: Any, separator: str = ",", encoding: str = "utf-8") -> list[str]:
    """The names of a table's columns.

    Raises:
        ArgumentError: The file is not there, empty, or no table.
    """
    if is_frame(path):
        return [str(name) for name in path.columns]
    _check_file(path)
    separator = one_character(separator)
    if is_parquet(path):
        from pyarrow import ArrowException, parquet

        try:
            return [name for name in parquet.read_schema(path).names if name != "__index_level_0__"]
        except (ArrowException, OSError) as error:
            raise ArgumentError(
                f"{path} is no readable Parquet file ({error}): give a .parquet or .csv file"
            ) from error
    try:
        with open(path, newline="", encoding="utf-8-sig" if encoding == "utf-8" else encoding) as file:
            lines = csv.reader(file, delimiter=separator)
            names, first = next(lines, []), next(lines, [])
    except (UnicodeError, LookupError) as error:
        raise _wrong_encoding(path, encoding, error) from error
    except csv.Error as error:
        raise ArgumentError(f"{path} is no table of text ({error}): give a .csv or a .parquet file") from error
    if not any(name.strip() for name in names):
        raise ArgumentError(f"{path} has no header in its first row: give a file with names of columns, and rows")
    if len(names) == 1 and (other := _other_separator(names[0], separator)) is not None:
        raise ArgumentError(
            f"{path} has one column, {names[0]!r}: its separator is not {separator!r}; give --data.separator {other}"
        )
    if len(first) > len(names):
        raise ArgumentError(
            f"{path} has {len(names)} columns and {len(first)} values in row 2: write decimals with a point, texts that "
            f"have a {separator!r} in quotes, or give --data.separator"
        )
    return names


def load(path: Any, columns: list[str], id: str | None, separator: str, encoding: str) -> "pd.DataFrame":
    """Columns of a table; those of series' names, `id`, as texts.

    Raises:
        ArgumentError: The file can't be read as such a table.
    """
    import pandas as pd

    if is_frame(path):
        return path[columns]
    if is_parquet(path):
        return pd.read_parquet(path, columns=columns)
    options: dict[str, Any] = {} if id is None else {"dtype": {id: str}}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)  # of columns that are not used
            # All columns are read: with `usecols`, pandas drops what is too much in a row, as after a decimal comma.
            found = pd.read_csv(path, sep=one_character(separator), encoding=encoding, **options)
        return found[columns]
    except UnicodeError as error:
        raise _wrong_encoding(path, encoding, error) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise ArgumentError(
            f"{path} is no readable CSV ({' '.join(str(error).split())}): mend the file, or give --data.separator"
        ) from error


def one_character(separator: str) -> str:
    r"""The separator of columns that is meant; a shell hands over `\t` as two characters.

    Raises:
        ArgumentError: It is not one character.
    """
    separator = "\t" if separator in ("\\t", "tab") else separator
    if len(separator) != 1 or separator in '"\r\n':
        raise ArgumentError(f"separator={separator!r}: give the one character between columns, such as ';', or tab")
    return separator


def _other_separator(header: str, separator: str) -> str | None:
    """How a header's separator is typed, if it is another one."""
    other = next((s for s in ";\t|," if s != separator and s in header), None)
    return None if other is None else "tab" if other == "\t" else f"'{other}'"


def _check_file(path: Any) -> None:
    if not isinstance(path, (str, Path)):
        raise ArgumentError(f"path is a {type(path).__name__}: give a .csv or .parquet file, or a pandas DataFrame")
    if "://" in str(path):
        return
    if Path(path).is_dir():
        raise ArgumentError(f"{path} is a folder: give one .csv or .parquet file")
    if not Path(path).is_file():
        raise ArgumentError(f"there is no file {path}: give the path of a .csv or .parquet file")
    if Path(path).suffix.lower() in _SHEETS:
        raise ArgumentError(f"{path} is a spreadsheet: save it as CSV, and give that file")
    if Path(path).stat().st_size == 0:
        raise ArgumentError(f"{path} is empty: give a file with a header and rows")


def _wrong_encoding(path: Any, encoding: str, error: Exception) -> ArgumentError:
    return ArgumentError(
        f"{path} is no text in {encoding} ({error}): save it in UTF-8, or give --data.encoding, such as latin-1"
    )


def is_frame(path: Any) -> bool:
    """Whether a table is a DataFrame."""
    return hasattr(path, "columns") and hasattr(path, "iloc")


def is_parquet(path: Any) -> bool:
    """Whether it is a Parquet file."""
    return not is_frame(path) and Path(path).suffix.lower() in (".parquet", ".pq")


def label(path: Any) -> str:
    """What a table is called in a message."""
    return "the DataFrame" if is_frame(path) else str(path)
