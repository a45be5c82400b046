"""Opens demonstrations by what the user wrote: `lerobot:PATH`, or a path.

lerobot:PATH, lerobot:user/name@revision   LeRobotDataset v2.0, v2.1, v3.0
hdf5:PATH                                  episodes of the original ACT
rlds:PATH                                  RLDS, stored as array_record
PATH                                       ours, or any of these, by its files
"""

import pathlib
from collections.abc import Callable, Mapping

from act.recordings import base
from act.recordings import place as place_lib
from carnet import errors, hub

Open = Callable[[str, base.Options], base.Recording]


def open(origin: str, options: base.Options | None = None) -> base.Recording:
  """Returns the recording that `origin` names.

  Raises:
    UserError: there is none, it is unsound, or of a format nobody knows.
  """
  kind, place = split(origin)
  if not place:
    raise errors.UserError(f"'{origin}' names no place after the colon")
  opener = _opener(kind or _detected(place))
  return opener(place, options or base.Options())


def split(origin: str) -> tuple[str, str]:
  """Returns the kind that `origin` begins with, "" for none, and the place."""
  kind, separator, place = origin.partition(":")
  return (kind, place) if separator and kind in KINDS else ("", origin)


def places(origin: str, found: base.Recording) -> list[pathlib.Path]:
  """Returns where the files are of what `open` returned for `origin`."""
  named = place_lib.find(split(origin)[1])
  # a hub's are where `found` says; RLDS is named by the folder above, too
  return [found.path, named] if named.exists() else [found.path]


def present(origin: str) -> bool:
  """Returns whether the place exists; what is on a hub does."""
  kind, place = split(origin)
  if not place:
    return False
  if kind == "lerobot" and hub.is_id(place.partition("@")[0]):
    return True
  try:
    return place_lib.find(place).exists()
  except errors.UserError:
    return False


def detect(path: pathlib.Path) -> str:
  """Returns which of `KINDS`, or "carnet", a directory or file is of."""
  if (path / "meta/info.json").is_file():
    return "lerobot"
  if path.suffix in _HDF5 or any(
    next(path.glob(f"*{suffix}"), None) for suffix in _HDF5
  ):
    return "hdf5"
  ours = any((path / name).exists() for name in _OURS)
  described = (path / "dataset_info.json", *path.glob("*/dataset_info.json"))
  if not ours and any(place.is_file() for place in described):
    return "rlds"
  return "carnet"


def _detected(place: str) -> str:
  """Returns what `detect` does; UserError where nothing is recognised."""
  path = place_lib.find(place)
  kind = detect(path)
  if kind == "carnet" and not any((path / name).exists() for name in _OURS):
    found = "nothing that is known" if path.exists() else "no such directory"
    raise errors.UserError(
      f"no demonstrations at '{place}': {found}; looked for meta/info.json "
      "(LeRobot, lerobot:PATH), *.hdf5 (the original ACT, hdf5:PATH), "
      "dataset_info.json (RLDS, rlds:PATH) and metadata.json "
      "(scripts/collect_demos.py, convert.py cache); a dataset of the hub is "
      "lerobot:user/name"
    )
  return kind


def _opener(kind: str) -> Open:
  if kind == "lerobot":
    from act.recordings import lerobot

    return lerobot.open
  if kind == "hdf5":
    from act.recordings import aloha_hdf5

    return aloha_hdf5.open
  if kind == "rlds":
    from act.recordings import rlds

    return rlds.open
  from act.recordings import own

  return own.open


_OURS = ("metadata.json", "low_dimensional.npz", ".collecting", ".caching")
_HDF5 = (".hdf5", ".h5")
KINDS: Mapping[str, str] = {
  "lerobot": "LeRobotDataset v2.0, v2.1, v3.0",
  "hdf5": "episodes of the original ACT",
  "rlds": "RLDS as array_record",
}
