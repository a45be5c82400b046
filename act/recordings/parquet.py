"""Parquet files of others: opened with limits, each fault in one line."""

import pathlib
from typing import Any

from act.recordings import inside
from carnet import errors, extras

_LARGEST_COLUMNS = 1 << 34  # bytes in memory of what is read at once


def open_file(root: pathlib.Path, name: str, most_rows: int) -> Any:
  """Returns a pyarrow ParquetFile of at most so many rows."""
  path = inside.resolve(root, name)
  parquet: Any = extras.load("pyarrow.parquet", "data")
  try:
    file = parquet.ParquetFile(str(path))
  except Exception as error:
    raise _fault(root / name, error) from error
  if not 0 <= file.metadata.num_rows <= most_rows:
    rows = file.metadata.num_rows
    file.close()
    raise errors.UserError(
      f"{root / name}: {rows} rows, the metadata say at most {most_rows}"
    )
  return file


def read(root: pathlib.Path, name: str, file: Any, columns: list[str]) -> Any:
  """Returns a pyarrow Table of whole columns, by the names of the top level."""
  metadata = file.metadata
  size = sum(
    metadata.row_group(group).column(column).total_uncompressed_size
    for group in range(metadata.num_row_groups)
    for column in range(metadata.num_columns)
    if _is_of(metadata.schema.column(column).path, columns)
  )
  if size > _LARGEST_COLUMNS:
    raise errors.UserError(f"{root / name}: {size} bytes in memory: too many")
  try:
    return file.read(columns=columns)
  except Exception as error:
    raise _fault(root / name, error) from error


def to_rows(root: pathlib.Path, name: str, table: Any) -> list[dict[str, Any]]:
  """Returns the rows of a Table as Python's own values."""
  try:
    return table.to_pylist()
  except ValueError as error:  # text that is none
    raise _fault(root / name, error) from error


def _is_of(path: str, columns: list[str]) -> bool:
  return any(path == name or path.startswith(f"{name}.") for name in columns)


def _fault(path: pathlib.Path, error: Exception) -> Exception:
  """Returns what to raise: a line for a damaged file, or the error itself."""
  import pyarrow

  if isinstance(error, pyarrow.ArrowException | OSError | ValueError):
    text = " ".join(str(error).split())[:200]
    return errors.UserError(f"{path}: no readable Parquet file ({text})")
  return error
