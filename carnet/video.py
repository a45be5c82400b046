"""Videos for people to look at: H.264 in MP4."""

import pathlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt8


def write(
  path: pathlib.Path,
  frames: Iterable[UInt8[np.ndarray, "H W 3"]],
  frames_per_second: int,
) -> None:
  """Writes frames of equal size; whole or not at all.

  H.264 has even sizes: an odd last row or column is cut.
  """
  import av  # 35 MB of FFmpeg, which training does without

  draft = path.with_suffix(".tmp.mp4")
  with av.open(str(draft), mode="w") as container:
    stream = container.add_stream("libx264", rate=frames_per_second)
    stream.pix_fmt = "yuv420p"
    for index, whole in enumerate(frames):
      height, width = (size // 2 * 2 for size in whole.shape[:2])
      image = np.ascontiguousarray(whole[:height, :width])
      if index == 0:
        stream.height, stream.width = height, width
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  draft.replace(path)


def enlarged(
  frames: UInt8[np.ndarray, "T H W 3"], height: int
) -> UInt8[np.ndarray, "T h w 3"]:
  """Returns frames of at least this height, each pixel as several."""
  times = -(-height // frames.shape[1])
  return frames.repeat(times, axis=1).repeat(times, axis=2)
