"""Weights of torchvision's files: read as tensors, checked, and placed."""

import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
import tiny_act

from act import learner, torch_file
from carnet import errors

CONFIG = {"backbone": "resnet18", "backbone_norm": "frozen"}


class Storage:
  """What torch refers to by a persistent id."""

  def __init__(self, key: str, array: np.ndarray, name: str = "FloatStorage"):
    self.key, self.array, self.name = key, array, name


class Tensor:
  """What torch rebuilds by a call."""

  def __init__(self, storage: Storage, offset: int = 0, strides: Any = None):
    array = storage.array
    self.storage, self.offset, self.shape = storage, offset, array.shape
    in_elements = tuple(s // array.itemsize for s in array.strides)
    self.strides = strides or in_elements


def opcodes(value: Any) -> bytes:
  """Writes `value` as protocol 2 does, opcode by opcode."""
  match value:
    case bool():
      return b"\x88" if value else b"\x89"
    case int() if value < 2**31:
      return b"J" + struct.pack("<i", value)
    case int():
      data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
      return b"\x8a" + bytes([len(data)]) + data
    case str():
      return b"X" + struct.pack("<I", len(value)) + value.encode()
    case tuple():
      return b"(" + b"".join(map(opcodes, value)) + b"t"
    case list():
      return b"](" + b"".join(map(opcodes, value)) + b"e"
    case dict():
      items = b"".join(opcodes(x) for pair in value.items() for x in pair)
      return b"ccollections\nOrderedDict\n)R(" + items + b"u"
    case Storage():
      kind = b"ctorch\n" + value.name.encode() + b"\n"
      rest = (value.key, "cpu", value.array.size)
      inside = b"".join(map(opcodes, rest))
      return b"(" + opcodes("storage") + kind + inside + b"tQ"
    case Tensor():
      inside = (value.storage, value.offset, value.shape, value.strides)
      arguments = b"".join(map(opcodes, (*inside, False, {})))
      return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"
  raise TypeError(type(value))


def program(value: Any) -> bytes:
  return b"\x80\x02" + opcodes(value) + b"."


def save_zip(path: pathlib.Path, value: Any, storages: list[Storage]) -> None:
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("net/data.pkl", program(value))
    archive.writestr("net/byteorder", "little")
    for storage in storages:
      archive.writestr(f"net/data/{storage.key}", storage.array.tobytes())


def save_stream(
  path: pathlib.Path, value: Any, storages: list[Storage]
) -> None:
  head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
  parts = [program(part) for part in (*head, value, [s.key for s in storages])]
  for storage in storages:
    parts += [struct.pack("<q", storage.array.size), storage.array.tobytes()]
  path.write_bytes(b"".join(parts))


def save_safetensors(
  path: pathlib.Path, value: Any, storages: list[Storage]
) -> None:
  del storages
  arrays = {name: tensor.storage.array for name, tensor in value.items()}
  safetensors.numpy.save_file(arrays, path)


SAVERS: dict[str, Callable[..., None]] = {
  "zip.pth": save_zip,
  "stream.pth": save_stream,
  "weights.safetensors": save_safetensors,
}


def torchvision_arrays() -> dict[str, np.ndarray]:
  """Returns a resnet18 of 4, 4, 8, 8 channels as torchvision would save it."""
  random = np.random.default_rng(0)
  arrays: dict[str, np.ndarray] = {}

  def convolution(name: str, *shape: int) -> None:
    arrays[f"{name}.weight"] = random.normal(size=shape).astype(np.float32)

  def norm(name: str, channels: int) -> None:
    for part in ("weight", "bias", "running_mean", "running_var"):
      values = random.uniform(0.5, 1.5, channels)
      arrays[f"{name}.{part}"] = values.astype(np.float32)
    arrays[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

  convolution("conv1", 4, 3, 7, 7)
  norm("bn1", 4)
  inputs = 4
  for stage, width in enumerate((4, 4, 8, 8), start=1):
    for block in range(2):
      name = f"layer{stage}.{block}"
      convolution(f"{name}.conv1", width, inputs, 3, 3)
      norm(f"{name}.bn1", width)
      convolution(f"{name}.conv2", width, width, 3, 3)
      norm(f"{name}.bn2", width)
      if block == 0 and stage > 1:
        convolution(f"{name}.downsample.0", width, inputs, 1, 1)
        norm(f"{name}.downsample.1", width)
      inputs = width
  convolution("fc", 10, 8)
  return arrays


def save(path: pathlib.Path, arrays: dict[str, np.ndarray]) -> str:
  storages = [
    Storage(
      str(i),
      array,
      "LongStorage" if array.dtype == np.int64 else "FloatStorage",
    )
    for i, array in enumerate(arrays.values())
  ]
  value = {
    name: Tensor(storage)
    for name, storage in zip(arrays, storages, strict=True)
  }
  SAVERS[path.name](path, value, storages)
  return str(path)


def load(path: str) -> learner.TrainState:
  config = tiny_act.config(**CONFIG, backbone_weights=path)
  return learner.init_state(config, tiny_act.FEATURES)


@pytest.mark.parametrize("name", SAVERS)
def test_weights_arrive(name: str, tmp_path: pathlib.Path) -> None:
  arrays = torchvision_arrays()
  state = load(save(tmp_path / name, arrays))
  params, buffers = state.params["backbone"], state.buffers["backbone"]
  kernel = params["stage3"]["block0"]["downsample"]["conv"]["kernel"]
  np.testing.assert_array_equal(
    kernel, arrays["layer3.0.downsample.0.weight"].transpose(2, 3, 1, 0)
  )
  norm = buffers["stage4"]["block1"]["norm2"]
  np.testing.assert_array_equal(
    norm["variance"], arrays["layer4.1.bn2.running_var"]
  )
  # in all, everything but fc and the counters
  taken = [
    array
    for key, array in arrays.items()
    if not key.startswith("fc.") and array.dtype == np.float32
  ]
  leaves = [*jax.tree.leaves(params), *jax.tree.leaves(buffers)]
  assert len(leaves) == len(taken)
  assert sum(map(np.sum, leaves)) == pytest.approx(sum(map(np.sum, taken)))


def test_a_step_runs_and_leaves_the_norms(tmp_path: pathlib.Path) -> None:
  path = save(tmp_path / "zip.pth", torchvision_arrays())
  config = tiny_act.config(**CONFIG, backbone_weights=path, use_vae=False)
  state = learner.init_state(config, tiny_act.FEATURES)
  batch = tiny_act.batch()

  def loss(params: Any) -> jax.Array:
    output = learner.apply(
      config, tiny_act.FEATURES, params, state.buffers, batch, True
    )
    return learner.loss(config, output, batch)[0]

  gradients = jax.eval_shape(jax.grad(loss), state.params)
  assert "norm1" not in gradients["backbone"]


@pytest.mark.parametrize(
  ("change", "says"),
  [
    (
      lambda a: a.pop("layer2.0.bn1.weight"),
      "'layer2.0.bn1.weight' is missing",
    ),
    (lambda a: a.update({"layer1.0.conv3.weight": np.ones(2)}), "no place"),
    (
      lambda a: a.update({"conv1.weight": np.ones((8, 3, 7, 7), np.float32)}),
      r"'conv1.weight' has shape \(8, 3, 7, 7\)",
    ),
    (lambda a: a["bn1.bias"].fill(np.inf), "'bn1.bias' is not finite"),
  ],
)
def test_misfits_are_named(
  change: Callable[[Any], Any], says: str, tmp_path: pathlib.Path
) -> None:
  arrays = torchvision_arrays()
  change(arrays)
  path = save(tmp_path / "weights.safetensors", arrays)
  with pytest.raises(errors.UserError, match=f"weights.safetensors.*{says}"):
    load(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz"])
def test_no_such_file(name: str, tmp_path: pathlib.Path) -> None:
  with pytest.raises(errors.UserError, match=name):
    load(str(tmp_path / name))


ONE = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_views_share_a_storage(tmp_path: pathlib.Path) -> None:
  """A transposed tensor and a slice are read through their strides."""
  storage = Storage("0", ONE)
  transposed = Tensor(storage, strides=(1, 2))
  transposed.shape = (2, 3)
  part = Tensor(storage, offset=3)
  part.shape, part.strides = (3,), (1,)
  path = tmp_path / "zip.pth"
  save_zip(path, {"t": transposed, "part": part}, [storage])
  tensors = torch_file.read(path)
  np.testing.assert_array_equal(tensors["t"], ONE.reshape(3, 2).T)
  np.testing.assert_array_equal(tensors["part"], [3.0, 4.0, 5.0])


def beyond(**changes: Any) -> Tensor:
  tensor = Tensor(Storage("0", ONE))
  for name, value in changes.items():
    setattr(tensor, name, value)
  return tensor


# contents, and what is said of them
HOSTILE = {
  "system": (b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.", "os system"),
  "object": (
    b"\x80\x02}(X\x01\x00\x00\x00acos\nPathLike\n)\x81u.",
    "opcode NEWOBJ",
  ),
  "other storage": (
    program({"a": Tensor(Storage("0", ONE, "BoolStorage"))}),
    "torch BoolStorage",
  ),
  "beyond": (program({"a": beyond(offset=1)}), "beyond its storage"),
  "backwards": (program({"a": beyond(strides=(3, -1))}), "impossible shape"),
  "repeated": (
    program({"a": beyond(shape=(2**20, 2**20), strides=(0, 0))}),
    "beyond its storage",
  ),
  "shape of text": (program({"a": beyond(shape=("a", "b"))}), "str in place"),
  "no tensor": (program({"a": 3}), "int in place of _Tensor"),
  "no text": (program({3: Tensor(Storage("0", ONE))}), "int in place of str"),
  "no dictionary": (program([1]), "list in place of dict"),
  "empty": (b"", "pickle exhausted"),
  "cut": (program({"a": Tensor(Storage("0", ONE))})[:-9], "no newline found"),
  "underflow": (b"\x80\x02R.", "pop from empty list"),
  "endless": (b"\x80\x02" + b"(" * 2000 + b".", "to parse"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_but_tensors(
  name: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(torch_file, "PICKLE_LIMIT", 1000)
  content, says = HOSTILE[name]
  path = tmp_path / "zip.pth"
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("net/data.pkl", content)
    archive.writestr("net/data/0", ONE.tobytes())
  with pytest.raises(errors.UserError, match=f"plain dictionary.*{says}"):
    torch_file.read(path)
  stream = tmp_path / "stream.pth"
  stream.write_bytes(content)
  with pytest.raises(errors.UserError, match="not a plain dictionary"):
    torch_file.read(stream)


def test_a_storage_does_not_become_many_arrays(tmp_path: pathlib.Path) -> None:
  storage = Storage("0", np.zeros(4096, np.float32))
  for name, count in (("few", 3), ("many", 100)):
    value = {f"w{i}": Tensor(storage) for i in range(count)}
    for save in (save_zip, save_stream):
      path = tmp_path / f"{name}.pth"
      save(path, value, [storage])
      if name == "few":  # as tied weights
        assert len(torch_file.read(path)) == count
        continue
      with pytest.raises(errors.UserError, match="would unfold to more than"):
        torch_file.read(path)


def test_entries_that_overlap_are_refused(tmp_path: pathlib.Path) -> None:
  """Many names in an archive may lead to the same bytes."""
  path = tmp_path / "zip.pth"
  storage = Storage("0", np.zeros(4096, np.float32))
  with zipfile.ZipFile(path, "w") as archive:
    archive.writestr("net/data.pkl", program({"a": Tensor(storage)}))
    archive.writestr("net/data/0", storage.array.tobytes())
    [entry] = [x for x in archive.filelist if x.filename == "net/data/0"]
    archive.filelist += [entry] * 9
  with pytest.raises(errors.UserError, match="entries that overlap"):
    torch_file.read(path)


def test_compressed_archives_are_refused(tmp_path: pathlib.Path) -> None:
  """Torch stores without compression; a bomb of zeros would not."""
  path = tmp_path / "zip.pth"
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("net/data.pkl", program({}))
  with pytest.raises(errors.UserError, match="compressed"):
    torch_file.read(path)
