"""Statistics of the original ACT: read as arrays, and nothing is run."""

import pathlib
import pickle
import struct
from typing import Any

import numpy as np
import pytest

from act import numpy_pickle
from carnet import errors

STATISTICS = {
  "action_mean": np.linspace(-1, 1, 14, dtype=np.float32),
  "qpos_std": np.linspace(0.1, 2, 14),
  "example_qpos": np.arange(28.0).reshape(2, 14),
  "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
  "backwards": np.arange(3, dtype=">f4"),
  "count": np.float32(3.5),
  "empty": np.zeros((0, 4), np.float32),
  "number": 2.5,
}


def read(tmp_path: pathlib.Path, content: bytes) -> dict[str, np.ndarray]:
  path = tmp_path / "dataset_stats.pkl"
  path.write_bytes(content)
  return numpy_pickle.read(path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_arrays_arrive(
  protocol: int, package: bytes, tmp_path: pathlib.Path
) -> None:
  content = pickle.dumps(STATISTICS, protocol)
  if protocol < 4:  # where names have no length before them
    content = content.replace(b"numpy._core", b"numpy.core")
    content = content.replace(b"numpy.core", package)
  found = read(tmp_path, content)
  assert found.keys() == STATISTICS.keys()
  for name, value in STATISTICS.items():
    np.testing.assert_array_equal(found[name], np.asarray(value))
    assert found[name].dtype == np.asarray(value).dtype


def test_what_is_shared_and_what_is_plain(tmp_path: pathlib.Path) -> None:
  one = np.arange(3.0)
  value = {"a": one, "b": one, "names": ["x", "y"], "none": None}
  found = read(tmp_path, pickle.dumps(value, 4))
  assert found.keys() == {"a", "b"}
  np.testing.assert_array_equal(found["b"], one)


class Runs:
  """Pickles into a call."""

  def __init__(self, function: Any, *arguments: Any) -> None:
    self.call = function, arguments

  def __reduce__(self) -> Any:
    return self.call


def text(value: str) -> bytes:
  return b"X" + struct.pack("<I", len(value)) + value.encode()


def array(shape: bytes, data: bytes, code: str = "f4") -> bytes:
  """Returns {"a": an array}, its shape as opcodes."""
  kind = b"cnumpy\ndtype\n(" + text(code) + b"\x89\x88tR"
  kind += (
    b"(K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
  )
  raw = b"B" + struct.pack("<I", len(data)) + data
  made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)NtR"
  state = b"(K\x01" + shape + kind + b"\x89" + raw + b"tb"
  return b"\x80\x03}" + text("a") + made + state + b"s."


ENCODE = b"c_codecs\nencode\n"
HUGE = b"\x8a\x08" + (2**62).to_bytes(8, "little")
HOSTILE = {
  "call": (pickle.dumps({"a": Runs(eval, "1/0")}, 2), "a call of .*eval"),
  "system": (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.", "os system"),
  "nested": (pickle.dumps([[{"a": Runs(open, "x")}]], 4), "a call of .*open"),
  "getattr": (pickle.dumps(Runs(getattr, 1, "real"), 4), "getattr"),
  "object": (pickle.dumps({"a": pathlib.PurePosixPath("x")}, 2), "a call|opc"),
  "objects": (
    pickle.dumps({"a": np.array([Runs(eval, "1")], object)}, 4),
    "no numbers",
  ),
  "text": (pickle.dumps({"a": np.array(["x"])}, 4), "no numbers"),
  "records": (
    pickle.dumps({"a": np.zeros(2, [("x", "f4")])}, 4),
    "no numbers",
  ),
  "huge": (array(HUGE + HUGE + b"\x86", b""), "another size"),
  "huge and empty": (array(HUGE + HUGE + b"K\x00\x87", b""), "array"),
  "negative": (array(b"J\xff\xff\xff\xff\x85", b""), "impossible shape"),
  "short": (array(b"K\x02\x85", b"1234"), "another size"),
  "never filled": (
    b"\x80\x03}"
    + text("a")
    + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)NtRs.",
    "without numbers",
  ),
  "subclass": (
    b"\x80\x03cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nmatrix\n)NtR.",
    "a subclass",
  ),
  "long bytes": (
    b"\x80\x04}" + text("a") + b"\x8e" + struct.pack("<Q", 2**61) + b"x",
    "expected",
  ),
  "bomb": (
    b"\x80\x02]q\x00" + b"(h\x00h\x00lq\x00" * 3 + b".",
    "opcode LIST",
  ),
  "the same text again and again": (
    b"\x80\x02}("
    + text("k")
    + text("a" * 4096)
    + b"q\x01"
    + b"".join(
      text(f"k{i}") + ENCODE + b"h\x01" + text("latin1") + b"\x86R"
      for i in range(9)
    )
    + b"u.",
    "would unfold to more than",
  ),
  "the same buffer again and again": (
    b"\x80\x05}("
    + text("k")
    + b"\x96"
    + struct.pack("<Q", 4096)
    + bytes(4096)
    + b"q\x01"
    + text("t")
    + b"cnumpy\ndtype\n("
    + text("u1")
    + b"\x89\x88tRq\x02"
    + b"".join(
      text(f"k{i}")
      + b"cnumpy.core.numeric\n_frombuffer\n(h\x01h\x02M"
      + struct.pack("<H", 4096)
      + b"\x85"
      + text("C")
      + b"tR"
      for i in range(9)
    )
    + b"u.",
    "would unfold to more than",
  ),
  "a million lists": (b"\x80\x02" + b"]" * 1_000_010, "more than 1000000 op"),
  "doubled": (
    b"\x80\x02)q\x00" + b"0h\x00h\x00\x86q\x00" * 100 + b".",
    "opcode POP",
  ),
  "tower": (b"\x80\x02)q\x00" + b"h\x00\x86q\x00" * 1000 + b".", "in place"),
  "list": (pickle.dumps([1, 2], 4), "list in place of dict"),
  "names": (pickle.dumps({1: 2.0}, 4), "int in place of str"),
  "empty file": (b"", "exhausted"),
  "cut": (pickle.dumps(STATISTICS, 4)[:-40], ""),
  "persistent": (b"\x80\x02)Q.", "BINPERSID"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_but_arrays(name: str, tmp_path: pathlib.Path) -> None:
  content, says = HOSTILE[name]
  with pytest.raises(
    errors.UserError, match=f"dataset_stats.pkl: not a plain.*{says}"
  ) as caught:
    read(tmp_path, content)
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 500


def test_every_cut_and_flip_is_refused_or_read(tmp_path: pathlib.Path) -> None:
  """No damage of a byte raises anything else than our error."""
  content = pickle.dumps({"a": np.arange(3.0), "b": np.float32(1)}, 4)
  for place in range(len(content)):
    flipped = bytearray(content)
    flipped[place] ^= 0x5A
    for damaged in (content[:place], bytes(flipped)):
      try:
        read(tmp_path, damaged)
      except errors.UserError:
        continue


def test_size_is_limited(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(numpy_pickle, "SIZE_LIMIT", 100)
  with pytest.raises(errors.UserError, match="larger than 100 bytes"):
    read(tmp_path, pickle.dumps(STATISTICS, 4))


def test_no_such_file(tmp_path: pathlib.Path) -> None:
  with pytest.raises(errors.UserError, match="no such file"):
    numpy_pickle.read(tmp_path / "dataset_stats.pkl")
