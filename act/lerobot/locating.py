"""From what a user points at to the files of one policy.

outputs/train/act                         the newest: checkpoints/last
.../checkpoints                           the same
.../checkpoints/last                      a link, or a file with the name
.../checkpoints/010000                    a step
.../checkpoints/010000/pretrained_model   its policy
DIRECTORY with model.safetensors          an old checkpoint, or a download
policy_best.ckpt, or its directory        of the original ACT
user/name, user/name@revision             of the hub
"""

import dataclasses
import os
import pathlib

from carnet import errors, hub
from carnet.passport import shown

WEIGHTS, CONFIG = "model.safetensors", "config.json"
ORIGINAL, ORIGINAL_STATISTICS = "policy_best.ckpt", "dataset_stats.pkl"
_POLICY, _TRAINING = "pretrained_model", "training_state"
_LAST, _STEPS = "last", "checkpoints"
_DEEPEST = 8  # links and directories on the way
_LARGEST_NAME = 256  # bytes of a `last` that is a plain file
_SHARDED = ("pytorch_model_fsdp_0", f"{_POLICY}/pytorch_model_fsdp_0")
_PATTERNS = (
  *("*.json", "*.safetensors", ORIGINAL, ORIGINAL_STATISTICS),
  f"{_TRAINING}/*",
)


@dataclasses.dataclass(frozen=True)
class Place:
  """Where one policy is.

  Attributes:
    directory: of its files.
    checkpoint: name of the weights of an original ACT; "" is LeRobot's layout.
    training_state: directory of the optimizer, if there is one.
    origin: the directory or file, or "user/name@commit".
    commit: of the hub.
  """

  directory: pathlib.Path
  checkpoint: str
  training_state: pathlib.Path | None
  origin: str
  commit: str | None = None


def find(asked: str) -> Place:
  """Returns the policy that a path, or an id of the hub, stands for.

  Raises:
    UserError: there is none; it says what is there instead.
  """
  path = pathlib.Path(os.path.expanduser(asked))
  if os.path.lexists(path) or not hub.is_id(asked):
    return _local(path)
  name, _, revision = asked.partition("@")
  try:
    fetched = hub.snapshot(name, "model", revision or None, _PATTERNS)
  except errors.UserError as error:
    raise errors.UserError(
      f"{error}; nor is there a file or directory {path}"
    ) from error
  found = _local(fetched.path)
  return dataclasses.replace(
    found, origin=f"{name}@{fetched.commit}", commit=fetched.commit
  )


def _local(path: pathlib.Path, depth: int = 0) -> Place:
  if depth > _DEEPEST:
    raise errors.UserError(f"{path}: its links go round in a circle")
  if not os.path.exists(path):  # also of names too long, which pathlib raises
    what = "a link to nothing" if os.path.islink(path) else "no such file"
    raise errors.UserError(
      f"{shown.cut(path)}: {what}, and no user/name of the hub"
    )
  if path.is_file():
    return _of_file(path, depth + 1)
  for within in (path, path / _POLICY):
    if (within / WEIGHTS).is_file():
      return _policy(within)
  if (path / ORIGINAL).is_file():
    return _original(path / ORIGINAL)
  for within in (path / _STEPS, path):
    if (step := _newest(within)) is not None:
      return _local(step, depth + 1)
  raise _nothing(path)


def _of_file(path: pathlib.Path, depth: int) -> Place:
  if path.suffix == ".ckpt":
    return _original(path)
  if path.name in (WEIGHTS, CONFIG):
    return _local(path.absolute().parent, depth)
  if path.name == _LAST:
    return _local(_named(path), depth)
  raise errors.UserError(
    f"{path} is no checkpoint: give its directory, or a .ckpt of the original "
    "ACT"
  )


def _newest(steps: pathlib.Path) -> pathlib.Path | None:
  """Returns the step that training would resume from."""
  last = steps / _LAST
  if last.is_file():
    return _named(last)
  if last.is_dir():
    return last.resolve()
  numbered = [
    x
    for x in (steps.iterdir() if steps.is_dir() else ())
    if x.name.isdigit() and (x / _POLICY).is_dir()
  ]
  return max(numbered, key=lambda x: int(x.name), default=None)


def _named(last: pathlib.Path) -> pathlib.Path:
  """Returns the step whose name is in a file, as where links cannot be."""
  with last.open("rb") as file:
    name = file.read(_LARGEST_NAME).decode(errors="replace").strip()
  step = last.parent / name
  if not name.isdigit() or not step.is_dir():
    raise errors.UserError(f"{last} names no step beside it: {name[:40]!r}")
  return step


def _policy(directory: pathlib.Path) -> Place:
  directory = directory.resolve()
  # of a download, where all files are in one directory
  beside = directory.parent if directory.name == _POLICY else directory
  training = beside / _TRAINING
  return Place(
    directory=directory,
    checkpoint="",
    training_state=training if training.is_dir() else None,
    origin=str(directory),
  )


def _original(path: pathlib.Path) -> Place:
  return Place(
    directory=path.absolute().parent,
    checkpoint=path.name,
    training_state=None,
    origin=str(path.resolve()),
  )


def _nothing(path: pathlib.Path) -> errors.UserError:
  if any(next(path.glob(pattern), None) for pattern in _SHARDED):
    return errors.UserError(
      f"{path} holds a sharded checkpoint: `lerobot-convert-dcp` makes "
      f"{WEIGHTS} of it"
    )
  if (path / "adapter_config.json").is_file():
    return errors.UserError(
      f"{path} holds an adapter: merge it into the policy with PEFT first"
    )
  names = sorted(x.name for x in path.iterdir())
  shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
  return errors.UserError(
    f"{path} holds neither {WEIGHTS}, checkpoints nor {ORIGINAL} (there is: "
    f"{shown or 'nothing'})"
  )
