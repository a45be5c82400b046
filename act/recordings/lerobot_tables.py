"""The parquet files of a LeRobotDataset v3.0, with the schemas of LeRobot."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def schema(features: Mapping[str, Any]) -> pa.Schema:
  """Returns that of the data files: every feature but the videos."""
  fields, told = [], {}
  for name, feature in features.items():
    if feature["dtype"] == "video":
      continue
    kind, width = _TYPES[feature["dtype"]], feature["shape"][0]
    value: dict[str, Any] = {"dtype": feature["dtype"], "_type": "Value"}
    if width == 1:
      fields.append(pa.field(name, kind))
      told[name] = value
    else:
      fields.append(pa.field(name, pa.list_(kind, width)))
      told[name] = {"feature": value, "length": width, "_type": "List"}
  metadata = {"huggingface": json.dumps({"info": {"features": told}})}
  return pa.schema(fields, metadata=metadata)


def table(columns: Mapping[str, np.ndarray], target: pa.Schema) -> pa.Table:
  """Returns the rows of one episode."""
  arrays = []
  for field in target:
    values = np.ascontiguousarray(columns[field.name])
    flat = pa.array(values.reshape(-1))
    if pa.types.is_fixed_size_list(field.type):
      flat = pa.FixedSizeListArray.from_arrays(flat, field.type.list_size)
      flat = flat.cast(field.type)
    arrays.append(flat)
  return pa.Table.from_arrays(arrays, schema=target)


class DataWriter:
  """Writes episodes into a data file, a row group each."""

  def __init__(self, path: pathlib.Path, target: pa.Schema):
    path.parent.mkdir(parents=True, exist_ok=True)
    self._path = path
    self._tables: list[pa.Table] = []
    self._writer = pq.ParquetWriter(
      path, target, compression="snappy", use_dictionary=True
    )

  def add(self, rows: pa.Table) -> None:
    """Appends the rows of an episode."""
    self._writer.write_table(rows)
    self._tables.append(rows)

  def close(self) -> None:
    """Finishes the file and reads it back; RuntimeError if it differs."""
    self._writer.close()
    with pq.ParquetFile(self._path) as file:
      for index, rows in enumerate(self._tables):
        if not _same(file.read_row_group(index), rows):
          raise RuntimeError(f"{self._path}: row group {index} differs")


def write_tasks(path: pathlib.Path, tasks: Sequence[str]) -> None:
  """Writes meta/tasks.parquet, of which pandas makes the texts the index."""
  described = {
    "index_columns": ["task"],
    "column_indexes": [
      {
        "name": None,
        "field_name": None,
        "pandas_type": "unicode",
        "numpy_type": "object",
        "metadata": {"encoding": "UTF-8"},
      }
    ],
    "columns": [
      _pandas_column("task_index", "int64", "int64"),
      _pandas_column("task", "unicode", "object"),
    ],
    "attributes": {},
    "creator": {"library": "pyarrow", "version": pa.__version__},
    "pandas_version": "2.0.0",
  }
  rows = pa.table(
    {
      "task_index": pa.array(range(len(tasks)), pa.int64()),
      "task": pa.array(tasks, pa.large_string()),
    }
  )
  metadata = {"pandas": json.dumps(described)}
  pq.write_table(rows.replace_schema_metadata(metadata), path)


def write_episodes(
  path: pathlib.Path, rows: Sequence[Mapping[str, Any]]
) -> None:
  """Writes meta/episodes, a row an episode; types follow from the names."""
  path.parent.mkdir(parents=True, exist_ok=True)
  fields = [
    pa.field(name, _episode_type(name, value))
    for name, value in rows[0].items()
  ]
  columns = {name: [row[name] for row in rows] for name in rows[0]}
  pq.write_table(pa.table(columns, schema=pa.schema(fields)), path)


def _episode_type(name: str, value: Any) -> pa.DataType:
  if name == "tasks":
    return pa.list_(pa.string())
  if not name.startswith("stats/"):
    return pa.float64() if name.endswith("_timestamp") else pa.int64()
  if name.endswith("/count"):
    return pa.list_(pa.int64())
  kind: pa.DataType = pa.float64()
  while isinstance(value, list):
    kind, value = pa.list_(kind), value[0]
  return kind


def _same(one: pa.Table, two: pa.Table) -> bool:
  """Bit for bit: to Arrow NaN is not itself, and -0 is 0."""
  return all(
    _bits(one.column(name)) == _bits(two.column(name))
    for name in two.column_names
  )


def _bits(column: pa.ChunkedArray) -> bytes:
  array = column.combine_chunks()
  if pa.types.is_fixed_size_list(array.type):
    array = array.flatten()
  return bytes(array.to_numpy(zero_copy_only=False).tobytes())


def _pandas_column(name: str, kind: str, numpy_type: str) -> dict[str, Any]:
  return {
    "name": name,
    "field_name": name,
    "pandas_type": kind,
    "numpy_type": numpy_type,
    "metadata": None,
  }


_TYPES = {
  "float32": pa.float32(),
  "int64": pa.int64(),
  "bool": pa.bool_(),
}
