"""The contract's cameras against those of a robot."""

import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from carnet import errors
from carnet.passport import context, contract, outcome, strict_json
from carnet.passport.checks import parts

_LARGEST_BYTES = 1 << 20


@parts.with_contract
def device_mapping(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: each camera of the robot is the one that the contract names.

  Fail: another serial number or port, a camera that is not there, or one that
  stands for two. Not checked: no --device-map, or the contract names none.
  """
  path = found.options.device_map
  if path is None:
    return outcome.not_checked("no robot's cameras given", "--device-map FILE")
  robot = read(path)
  faults = [*_twice(robot), *_wrong(needed, robot)]
  named = sum(
    image.camera_serial is not None or image.camera_usb_path is not None
    for image in needed.images
  )
  if not named and not faults:
    return outcome.not_checked(
      "the contract names neither serial numbers nor ports",
      "tell them with generate-passport --setup FILE, then sign again",
    )
  return outcome.first(faults, f"{named} of {len(needed.images)} cameras agree")


def read(path: pathlib.Path) -> Mapping[str, Mapping[str, Any]]:
  """Returns the cameras in a device map.

  Raises:
    UserError: it is none.
  """
  content = strict_json.read(path, _LARGEST_BYTES)
  robot = strict_json.decode(content, str(path), _LARGEST_BYTES)
  if not _is_map(robot):
    raise errors.UserError(
      f"{path} is no map of cameras: expected "
      '{"CAMERA": {"serial": "...", "usb_path": "..."}}'
    )
  return robot


def _wrong(
  needed: contract.InputContract, robot: Mapping[str, Mapping[str, Any]]
) -> Iterator[outcome.Finding]:
  for index, image in enumerate(needed.images):
    where = f"/input_contract/images/{index}"
    device = robot.get(image.key, robot.get(image.short_key))
    if device is None:
      yield outcome.failed(
        f"the robot has no camera '{image.key}'",
        f"{where}/key",
        image.key,
        ", ".join(sorted(robot)),
        "name it in the device map",
      )
      continue
    pairs = {
      "camera_serial": (image.camera_serial, device.get("serial")),
      "camera_usb_path": (image.camera_usb_path, device.get("usb_path")),
    }
    for name, (wanted, present) in pairs.items():
      if wanted is not None and wanted != present:
        yield outcome.failed(
          f"'{image.key}' is {present!r} at the robot, {wanted!r} in the "
          f"contract{_owner(needed, name, present)}",
          f"{where}/{name}",
          wanted,
          present,
          "plug the cameras in as trained, or mend the device map",
        )


def _owner(needed: contract.InputContract, name: str, present: Any) -> str:
  """Tells whose camera it is, where two were exchanged."""
  owners = [x.key for x in needed.images if getattr(x, name) == present]
  return f", where it belongs to '{owners[0]}'" if present and owners else ""


def _twice(robot: Mapping[str, Mapping[str, Any]]) -> Iterator[outcome.Finding]:
  for name in ("serial", "usb_path"):
    seen: dict[Any, str] = {}
    for camera, device in robot.items():
      value = device.get(name)
      if value is not None and value in seen:
        yield outcome.failed(
          f"'{seen[value]}' and '{camera}' have the same {name} {value!r}",
          remedy="mend the device map",
        )
      seen[value] = camera


def _is_map(value: Any) -> bool:
  return isinstance(value, dict) and all(
    isinstance(device, dict)
    and all(x is None or isinstance(x, str) for x in device.values())
    for device in value.values()
  )
