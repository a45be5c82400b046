"""Cameras as they see now, against those of the demonstrations."""

from carnet.checkpoint import plain_file
from carnet.passport import cameras, context, contract, outcome, reference_data
from carnet.passport.checks import parts

_LARGEST_BYTES = 1 << 26  # of a picture


@parts.with_contract
def cameras_see_as_trained(
  found: context.Context, needed: contract.InputContract
) -> outcome.Finding:
  """Pass: each live picture is nearest to the reference frames of its camera.

  Soft: another camera's frames are clearly nearer: two may be exchanged, or the
  scene is another one. Not checked: no --live-frames, or less than two cameras.
  """
  place, vector = (
    found.options.live_frames,
    found.passport.reference_test_vector,
  )
  if place is None:
    return outcome.not_checked("no live pictures given", "--live-frames DIR")
  if vector is None or len(needed.images) < 2:
    return outcome.not_checked("there are no two cameras with frames")
  recorded = {
    image.key: reference_data.frames(found, vector, image)
    for image in needed.images
  }
  live = {}
  for image in needed.images:
    path = place / f"{image.short_key}.png"
    content = plain_file.read(path, _LARGEST_BYTES)
    live[image.key] = reference_data.picture(content, str(path))
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
