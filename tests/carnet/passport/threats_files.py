"""T1 to T5, T8, T19 to T22, T28: files that are damaged, forged, or traps."""

import os
import pickle
import struct
import zipfile
import zlib

import checking
import numpy as np
import sample
import sample_step
import threat

from carnet.checkpoint import directory

_CHUNKS = "agent/d/*"
_SIDE = ("agent/_sharding", "agent/array_metadatas/process_0")


def _flip(step, pattern):
  threat.flip(min(step.glob(pattern)))


def _flip_side_file(step, name):
  """As other writers of Orbax leave them: listed and signed, then flipped."""
  for side in _SIDE:
    (step / side).parent.mkdir(exist_ok=True)
    (step / side).write_text('{"shape": [8]}')
  checking.reseal(step)
  threat.flip(step / name)


def _remove(step, pattern):
  min(step.glob(pattern)).unlink()


def _link(step, name):
  path = min(step.glob(name))
  secret = step.parents[1] / "secret"
  path.rename(secret)
  path.symlink_to(secret)


def _link_resealed(step):
  """Everything is signed anew as it is found through the link."""
  outside = step.parents[1] / "outside"
  (step / "assets").rename(outside)
  (step / "assets").symlink_to(outside)
  sample.write(step)
  sample.sign(step)


class _Evil:
  def __reduce__(self):
    return (os.system, ("touch executed",))


def _object_array(step):
  path = step / sample.STATES_PATH
  np.save(path, np.array([_Evil()], object), allow_pickle=True)
  checking.reseal(step)


def _pickled_config(step):
  (step / "config.json").write_bytes(pickle.dumps(_Evil()))
  checking.reseal(step)


def _pickle_in_an_archive(step):
  with zipfile.ZipFile(step / "stats.json", "w") as archive:
    archive.writestr("archive/data.pkl", pickle.dumps(_Evil()))
  checking.reseal(step)


def _huge_array(step):
  shape = f"({1 << 44},)"
  header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
  text = header.ljust(117).encode() + b"\n"
  magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text))
  (step / sample.STATES_PATH).write_bytes(magic + text)
  checking.reseal(step)


def _chunk(kind, data):
  crc = struct.pack(">I", zlib.crc32(kind + data))
  return struct.pack(">I", len(data)) + kind + data + crc


def _picture(step, height, width):
  """Writes a picture of zeros that says it is so large."""
  data = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  rows = zlib.compress(bytes(1 << 20))
  parts = (_chunk(b"IHDR", data), _chunk(b"IDAT", rows), _chunk(b"IEND", b""))
  place = step / sample_step.frame(0)
  place.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
  checking.reseal(step)


def _picture_and_contract(step):
  _picture(step, 60_000, 60_000)
  sample.write(step, **{"input_contract/images/0/shape": [60_000, 60_000, 3]})
  sample.sign(step)


def _path(step, text):
  place = step / directory.PASSPORT
  place.write_text(place.read_text().replace('"stats.json"', f'"{text}"'))


def _pipe(step):
  os.mkfifo(step / "agent/pipe")


def _named(step, name):
  """Lists and signs a file of that name where the schema lets it."""
  (step / name).touch()


def _escapes_in_texts(step):
  """In every text of the passport that a report may repeat."""
  text = "\x1b]0;owned\x07\x1b[2J"
  changes = {
    "provenance/training_repo": text,
    "provenance/training_datasets/0/split": text,
    "transform_pipeline/0/code_ref": text,
    "model_identity/class_name": text,
    "model_identity/library_versions": {text: text},
  }
  sample.write(step, **changes)
  sample.sign(step, reason=text)


def _on(name, forge, word, red="weight_hashes"):
  """Returns a case whose forger takes the step and a word."""
  return threat.Case(name, lambda step: forge(step, word), red)


CASES = {
  1: (_on("flipped bit of an array", _flip, _CHUNKS),),
  2: (
    _on("flipped bit of the index", _flip, "agent/manifest.ocdbt"),
    _on("flipped bit of the top data", _flip, _CHUNKS),
  ),
  3: (
    _on("flipped bit of _METADATA", _flip, "agent/_METADATA"),
    *(
      _on(f"flipped bit of {name.split('/')[1]}", _flip_side_file, name)
      for name in _SIDE
    ),
  ),
  4: (
    _on("flipped bit of handlers", _flip, "agent/_CHECKPOINT_METADATA"),
    _on("flipped bit of a leftover", _flip, "agent/ocdbt.process_0/d/*"),
  ),
  5: tuple(
    _on(f"removed {name}", _remove, name, "weight_sizes")
    for name in (
      *("config.json", "stats.json", "manifest.json", "agent/_METADATA"),
      *("agent/commit_success.txt", "agent/manifest.ocdbt", _CHUNKS),
      *("agent/ocdbt.process_0/manifest.ocdbt", sample.STATES_PATH),
    )
  ),
  8: (
    _on("linked chunk", _link, _CHUNKS, "no_symlinks"),
    _on("linked item", _link, "agent", "no_symlinks"),
    _on("linked passport", _link, directory.PASSPORT, "json_limits"),
    threat.Case("link signed anew", _link_resealed, "no_symlinks"),
  ),
  19: (
    threat.Case("array of objects", _object_array, "no_pickle_files"),
    threat.Case("pickle as JSON", _pickled_config, "no_pickle_files"),
    threat.Case("pickle in a zip", _pickle_in_an_archive, "no_pickle_files"),
  ),
  20: (threat.Case("array of 64 TiB", _huge_array, "reference_shapes"),),
  21: (
    threat.Case(
      "picture of 10 gigapixels",
      lambda step: _picture(step, 100_000, 100_000),
      "reference_shapes",
    ),
    threat.Case(
      "contract that agrees", _picture_and_contract, "reference_shapes"
    ),
  ),
  22: (
    *(
      _on(f"path {text}", _path, text, "schema_valid")
      for text in (
        *("../../../etc/passwd", "/etc/passwd", "a\\\\..\\\\b", "nul\\u0000"),
        *("C:/windows", "a/./b"),
      )
    ),
    _on("names that differ in case", _named, "Config.json", "paths_safe"),
    threat.Case("pipe", _pipe, "paths_safe"),
  ),
  28: (
    _on("escape in a name", _named, "\x1b]0;owned\x07", "unlisted_files"),
    threat.Case("escapes in texts", _escapes_in_texts, "versions_recorded"),
  ),
}
