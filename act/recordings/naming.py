"""From the names in the data to those of the policy.

    observation.images.top   -> top                as LeRobot names cameras
    observation.state        -> state
    observation.X            -> X
    observation/X            -> X                   as RLDS does
    anything else            -> itself

`config.dataset.rename` comes first: ("observation.images.cam_high => top",).
"""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Int, UInt8

from act.recordings import base
from carnet import errors

ALL = ("*",)
ACTION = "action"
_BEGINNINGS = ("observation.images.", "observation.", "observation/")
_ARROW = "=>"


@dataclasses.dataclass(frozen=True)
class Asked:
  """What a policy wants of the data, in its own names; "" is none of that."""

  cameras: tuple[str, ...]
  state: str
  environment_state: str = ""
  rename: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Chosen:
  """The same, found: the policy's name -> the name in the data."""

  cameras: Mapping[str, str]
  state: Mapping[str, str]  # one entry, or none
  environment_state: Mapping[str, str]
  action: str

  def all(self) -> dict[str, str]:
    """Returns every pair; those of cameras begin with "images/"."""
    images = {f"images/{ours}": name for ours, name in self.cameras.items()}
    return {
      **images,
      **self.state,
      **self.environment_state,
      ACTION: self.action,
    }


def short(name: str) -> str:
  """Returns what a policy calls `name` unless told otherwise."""
  for beginning in _BEGINNINGS:
    if name.startswith(beginning) and len(name) > len(beginning):
      return name.removeprefix(beginning)
  return name


def choose(found: base.Recording, asked: Asked) -> Chosen:
  """Finds what a policy wants.

  Raises:
    UserError: something is not there; both lists are shown.
  """
  renamed = parse(asked.rename)
  everything = (*found.cameras, *found.vectors)
  for name in renamed:
    if name not in everything:
      raise errors.unknown(
        f"feature in config.dataset.rename (data: {found.origin})",
        name,
        everything,
      )
  cameras = _named(found.cameras, renamed, found.origin)
  vectors = _named(found.vectors, renamed, found.origin)
  wanted = tuple(cameras) if asked.cameras == ALL else asked.cameras
  _require("camera", wanted, cameras, found)
  single = {
    "state": (asked.state,) if asked.state else (),
    "environment_state": (asked.environment_state,)
    if asked.environment_state
    else (),
    "action": (ACTION,),
  }
  for key, names in single.items():
    _require(key, names, vectors, found)
  return Chosen(
    cameras={name: cameras[name] for name in wanted},
    state={name: vectors[name] for name in single["state"]},
    environment_state={
      name: vectors[name] for name in single["environment_state"]
    },
    action=vectors[ACTION],
  )


def candidates(asked: Asked) -> tuple[str, ...] | None:
  """Returns the names that the cameras may have in the data; None is all."""
  if asked.cameras == ALL:
    return None
  theirs = {ours: name for name, ours in parse(asked.rename).items()}
  found: list[str] = []
  for camera in asked.cameras:
    usual = [beginning + camera for beginning in ("", *_BEGINNINGS)]
    found += [theirs[camera]] if camera in theirs else usual
  return tuple(found)


def renamed(images: base.Images, names: Mapping[str, str]) -> base.Images:
  """Returns the reader under the policy's names; a name each of the data's."""
  same = all(ours == theirs for ours, theirs in names.items())
  return images if same else Renamed(images, dict(names))


class Renamed:
  """Reads pictures under the names of the policy."""

  def __init__(self, images: base.Images, names: Mapping[str, str]):
    self._images, self._names = images, names

  def read(
    self, frames: Int[np.ndarray, " B"]
  ) -> dict[str, UInt8[np.ndarray, "B H W 3"]]:
    """Returns the images of each camera, by the policy's name."""
    found = self._images.read(frames)
    return {ours: found[name] for ours, name in self._names.items()}


def parse(rename: Sequence[str]) -> dict[str, str]:
  """Returns "theirs => the policy's" as a dictionary.

  Raises:
    UserError: an entry is not written like that, or names something twice.
  """
  found: dict[str, str] = {}
  for entry in rename:
    theirs, arrow, ours = (part.strip() for part in entry.partition(_ARROW))
    if not (theirs and arrow and ours) or theirs in found:
      raise errors.UserError(
        f"config.dataset.rename has '{entry}': write each feature once, as "
        "'observation.images.cam_high => top'"
      )
    found[theirs] = ours
  return found


def _named(
  names: Iterable[str], renamed: Mapping[str, str], origin: str
) -> dict[str, str]:
  found: dict[str, str] = {}
  for name in names:
    ours = renamed.get(name, short(name))
    if ours in found:
      raise errors.UserError(
        f"{origin}: '{found[ours]}' and '{name}' would both be '{ours}' to the "
        "policy: rename one with config.dataset.rename"
      )
    found[ours] = name
  return found


def _require(
  key: str,
  wanted: Sequence[str],
  there: Mapping[str, str],
  found: base.Recording,
) -> None:
  missing = [name for name in wanted if name not in there]
  if not missing:
    return
  known = [
    ours if ours == theirs else f"{ours} ({theirs})"
    for ours, theirs in there.items()
  ]
  near = difflib.get_close_matches(missing[0], there, n=1)
  hint = f" (did you mean '{near[0]}'?)" if near else ""
  raise errors.UserError(
    f"{key} '{missing[0]}' of config.dataset is not in the data{hint}: the "
    f"policy wants {', '.join(wanted)}; {found.origin} has "
    f"{', '.join(known) or 'none'}; choose of these, or rename one with "
    "config.dataset.rename=('THEIRS => WANTED',)"
  )
