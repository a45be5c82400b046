"""Pictures of the page: what a camera gave beside what the model sees."""

import numpy as np

from carnet.passport import context
from carnet.passport.page import frames, markup, png

Element = markup.Element
LARGEST_BYTES = 3_500_000  # of all pictures, as text in the page
# longest side and frames a camera: the first that fits is taken
_SIZES = ((320, 6), (240, 6), (160, 6), (120, 3), (64, 2))


def build(found: context.Context) -> Element:
  """Returns a figure for each frame, camera by camera."""
  cameras = frames.cameras(found, _SIZES[0][1])
  if not cameras:
    return markup.element("p", "The policy takes no pictures.")
  for side, count in _SIZES:
    made = markup.join(*(_camera(x, side, count) for x in cameras))
    if len(made) <= LARGEST_BYTES:
      return made
  return markup.element("p", "The pictures are too many for a page.")


def _camera(camera: frames.Camera, side: int, count: int) -> Element:
  heading = markup.element("h3", f"Camera {camera.name}")
  parts: list[markup.Child] = [heading]
  if camera.pairs:
    parts.append(_said(f"As recorded: {markup.size(camera.shape)}."))
  if camera.caption:
    parts.append(_said(f"As the model sees it: {camera.caption}."))
  if camera.fault:
    parts.append(_said(camera.fault))
  pairs = [_pair(camera, pair, side) for pair in camera.pairs[:count]]
  return markup.join(
    *parts, markup.element("div", *pairs, class_="pairs") if pairs else None
  )


def _said(text: str) -> Element:
  return markup.element("p", text, class_="muted")


def _pair(camera: frames.Camera, pair: frames.Pair, side: int) -> Element:
  where = f"Camera {camera.name}, frame {pair.index}"
  images = [_image(pair.raw, f"{where}, as recorded", side)]
  if pair.seen is not None:
    images.append(_image(pair.seen, f"{where}, as the model sees it", side))
  return markup.element(
    "figure",
    markup.element("div", *images, class_="pair"),
    markup.element("figcaption", f"frame {pair.index}: recorded, seen"),
  )


def _image(picture: np.ndarray, alt: str, side: int) -> Element:
  small = png.smaller(picture, side)
  height, width = small.shape[:2]
  address = Element(png.data_uri(small))  # base64: nothing to escape
  return markup.element("img", src=address, alt=alt, width=width, height=height)
