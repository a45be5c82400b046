"""Cameras as they see now, against those of the demonstrations."""

import pathlib

import numpy as np

from carnet import errors
from carnet.checkpoint import plain_file
from carnet.passport import cameras, context, contract, outcome, reference_data
from carnet.passport.checks import parts

_LARGEST_BYTES = 1 << 26  # of a picture
_DARKEST = 2.0  # grey levels of spread; a covered lens has less


@parts.with_contract
def cameras_see_as_trained(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: each live picture is nearest to the reference frames of its camera.

  Soft: another camera's frames are clearly nearer: two may be exchanged, or the
  scene is another one; or a picture is of one grey. Not checked: no
  --live-frames, a camera without a picture, or less than two cameras.
  """
  place = found.options.live_frames
  vector = found.passport.reference_test_vector
  if place is None:
    return outcome.not_checked("no live pictures given", "--live-frames DIR")
  if vector is None or len(needed.images) < 2:
    return outcome.not_checked("there are no two cameras with frames")
  seen = read(place)
  absent = [x.short_key for x in needed.images if x.short_key not in seen]
  if absent:
    return outcome.not_checked(
      f"{place} has no {absent[0]}.png", "a picture of each camera"
    )
  live = {image.key: seen[image.short_key] for image in needed.images}
  blank = [name for name, pixels in live.items() if pixels.std() < _DARKEST]
  if blank:
    return outcome.failed(
      f"'{blank[0]}' shows nothing but one grey",
      expected=f"a spread of {_DARKEST} grey levels",
      found=f"{live[blank[0]].std():.2f}",
      remedy="uncover the lens, give it light, take the picture again",
    )
  recorded = {
    image.key: reference_data.frames(found, vector, image)
    for image in needed.images
  }
  compared = cameras.of_frames(live, recorded)
  distances = str(compared).replace("\n", "; ")
  if not compared.swapped:
    return outcome.passed(distances)
  wrong, near = compared.swapped[0]
  return outcome.failed(
    f"'{wrong}' looks like '{near}': {distances}",
    "/reference_test_vector/input_images_path",
    wrong,
    near,
    "look at the reference frames (--html), and plug the cameras in as trained",
  )


def read(place: pathlib.Path) -> dict[str, np.ndarray]:
  """Returns the pictures in a directory by their names without ".png".

  Raises:
    UserError: there is none, or one cannot be read.
  """
  found = {}
  for path in sorted(place.glob("*.png")):
    content = plain_file.read(path, _LARGEST_BYTES)
    found[path.stem] = reference_data.picture(content, str(path))
  if not found:
    raise errors.UserError(f"{place} has no picture, CAMERA.png")
  return found
