"""Writes one episode as one shard, and gathers its facts on the way."""

import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from array_record.python import array_record_module
from jaxtyping import Float, UInt8

from act import example, image_codec, statistics, storage

# Raw simulator frames shrink tenfold for 0.05 ms each; JPEGs do not shrink.
_COMPRESSION = {"raw": "zstd:1", "jpeg": "uncompressed"}


class EpisodeWriter:
  """Adds time steps to the shard at `path`; `close` returns the facts.

  `vectors` are the names in the record of what `add` takes beside the images;
  of these, each `counted`-th frame makes the statistics.
  """

  def __init__(
    self,
    path: pathlib.Path,
    episode_index: int,
    encodings: Mapping[str, image_codec.Encoding],
    vectors: Sequence[str] = storage.LOW_DIMENSIONAL,
    quality: int = image_codec.JPEG_QUALITY,
    counted: int = statistics.EVERY_FRAMES,
  ):
    worst = "raw" if "raw" in encodings.values() else "jpeg"
    self._writer = array_record_module.ArrayRecordWriter(
      str(path), f"group_size:1,{_COMPRESSION[worst]}"
    )
    self._episode_index = episode_index
    self._encodings = encodings
    self._quality = quality
    self._counted = counted
    self._frame = 0
    self._counts = {name: np.zeros((3, 256), np.int64) for name in encodings}
    self._rows: dict[str, list[np.ndarray]] = {name: [] for name in vectors}

  def add(
    self,
    images: Mapping[str, UInt8[np.ndarray, "H W 3"]],
    vectors: Mapping[str, Float[np.ndarray, "..."]],
    *,
    is_first: bool,
    is_last: bool,
    is_terminal: bool,
  ) -> None:
    """Appends one step."""
    frame = self._frame
    row = {name: np.asarray(vectors[name], np.float32) for name in self._rows}
    for name, value in row.items():
      self._rows[name].append(value)
    encoded = {}
    for name, encoding in self._encodings.items():
      encoded[f"images/{name}"] = image_codec.encode(
        images[name], encoding, self._quality
      )
      if frame % self._counted == 0:
        self._counts[name] += statistics.count(images[name])
    flags = {
      "is_first": np.asarray(is_first),
      "is_last": np.asarray(is_last),
      "is_terminal": np.asarray(is_terminal),
      "episode_index": np.asarray(self._episode_index),
      "frame_index": np.asarray(frame),
    }
    # Images first: a reader finds them without walking over the rest.
    self._writer.write(example.encode({**encoded, **row, **flags}))
    self._frame += 1

  def close(self) -> dict[str, np.ndarray]:
    """Finishes the shard; returns its vectors [T, D] and image counts."""
    self._writer.close()
    facts = {name: np.stack(rows) for name, rows in self._rows.items() if rows}
    return facts | {f"counts/{n}": count for n, count in self._counts.items()}
