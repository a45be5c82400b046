"""Frames of a video are those that are shown, in that order."""

import concurrent.futures
import dataclasses
import fractions
import itertools
import pathlib
import pickle
import struct
import sys

import av
import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import make_lerobot

from act.recordings import decoding, mp4, video

FRAMES = 24
X265 = "log-level=none:keyint=8:min-keyint=4:bframes=3:open-gop="
CODECS = {
  "av1": make_lerobot.AV1,
  "h264": make_lerobot.H264,
  "h264 with B-frames": ("libx264", {"g": "12", "crf": "23", "bf": "3"}),
  "h264, open": ("libx264", {"g": "8", "x264-params": "open-gop=1:bframes=3"}),
  "hevc": ("libx265", {"x265-params": X265 + "0"}),
  "hevc, open": ("libx265", {"x265-params": X265 + "1"}),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """Returns a file of numbered pictures for each codec."""
  root = tmp_path_factory.mktemp("videos")
  out = {}
  for place, (name, codec) in enumerate(CODECS.items()):
    out[name] = root / f"{place}.mp4"
    plan = make_lerobot.Plan(codec=codec)
    make_lerobot.write_video(out[name], list(range(FRAMES)), 0, plan)
  return out


def read(opened, frames, decoders=None):
  out = [np.zeros((opened.height, opened.width, 3), np.uint8) for _ in frames]
  (decoders or decoding.Decoders()).read(opened, frames, out)
  return out


def in_order(path):
  with av.open(str(path)) as container:
    return [
      frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)
    ]


@pytest.mark.parametrize("name", CODECS)
def test_every_frame_alone_is_that_of_the_whole_video(files, name):
  expected = in_order(files[name])
  opened = video.probe(str(files[name]))
  assert len(opened) == len(expected) == FRAMES
  assert opened.frames_per_second == pytest.approx(10)
  decoders = decoding.Decoders()
  for frame in np.random.default_rng(0).permutation(FRAMES).tolist():
    (image,) = read(opened, [frame], decoders)
    np.testing.assert_array_equal(image, expected[frame])
    assert make_lerobot.number_in(image) == frame


@pytest.mark.parametrize("name", CODECS)
def test_frames_of_one_keyframe_are_decoded_together(files, name):
  expected = in_order(files[name])
  opened = video.probe(str(files[name]))
  for frames in ([0, 1, 2, 3], [5, 6, 17], list(range(FRAMES))):
    for frame, image in zip(frames, read(opened, frames), strict=True):
      np.testing.assert_array_equal(image, expected[frame])
  runs = decoding.runs(opened, list(range(FRAMES)))
  assert list(itertools.chain.from_iterable(runs)) == list(range(FRAMES))


def test_b_frames_are_there_to_be_sorted(files):
  orders = {name: video.probe(str(path)).order for name, path in files.items()}
  in_place = np.arange(FRAMES)
  for name, order in orders.items():
    assert sorted(order) == in_place.tolist()
    assert np.array_equal(order, in_place) == (name in ("av1", "h264"))


def test_uneven_times_do_not_matter(tmp_path):
  path = tmp_path / "uneven.mp4"
  plan = make_lerobot.Plan()
  with av.open(str(path), "w") as container:
    stream = container.add_stream("libx264", rate=10, options={"bf": "2"})
    stream.pix_fmt, stream.height, stream.width = "yuv420p", 64, 96
    stream.codec_context.time_base = fractions.Fraction(1, 100)
    for number, late in enumerate([0, 0, 3, 1, 4, 0, 2, 2]):
      image = make_lerobot.picture(number, 0, plan.height, plan.width)
      frame = av.VideoFrame.from_ndarray(image, format="rgb24")
      frame.pts = 10 * number + late
      frame.time_base = fractions.Fraction(1, 100)
      container.mux(stream.encode(frame))
    container.mux(stream.encode())
  opened = video.probe(str(path))
  images = read(opened, list(range(8)))
  assert [make_lerobot.number_in(image) for image in images] == list(range(8))


def test_many_threads_read_what_one_reads(files):
  opened = {name: video.probe(str(path)) for name, path in files.items()}
  decoders = pickle.loads(pickle.dumps(decoding.Decoders()))
  jobs = [(name, f) for f in range(FRAMES) for name in ("av1", "hevc", "h264")]
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    images = list(
      pool.map(lambda job: read(opened[job[0]], [job[1]], decoders)[0], jobs)
    )
  numbers = [make_lerobot.number_in(image) for image in images]
  assert numbers == [frame for _, frame in jobs]


@pytest.mark.parametrize("faststart", [False, True])
def test_a_truncated_file(tmp_path, faststart):
  path = tmp_path / "video.mp4"
  plan = make_lerobot.Plan(codec=make_lerobot.H264, faststart=faststart)
  make_lerobot.write_video(path, list(range(FRAMES)), 0, plan)
  content = path.read_bytes()
  path.write_bytes(content[: len(content) * 2 // 3])
  told = "truncated: .* of 24 frames" if faststart else "no readable MP4"
  with pytest.raises(video.BrokenError, match=told):
    video.probe(str(path))


@pytest.mark.parametrize(
  "content", [b"", b"#EXTM3U\n/etc/passwd\n", bytes(5000)]
)
def test_what_is_no_mp4(tmp_path, content):
  path = tmp_path / "video.mp4"
  path.write_bytes(content)
  with pytest.raises(video.BrokenError, match="no readable MP4") as told:
    video.probe(str(path))
  assert "\n" not in str(told.value)


def test_a_codec_of_no_camera(tmp_path):
  path = tmp_path / "video.mp4"
  make_lerobot.write_video(path, [0], 0, make_lerobot.Plan(codec=("mpeg4", {})))
  with pytest.raises(video.BrokenError, match="codec mpeg4: known are av1"):
    video.probe(str(path))


def test_another_format_behind_the_name(tmp_path):
  path = tmp_path / "video.mp4"
  with av.open(str(path), "w", format="matroska") as container:
    stream = container.add_stream("mpeg4", rate=10)
    stream.pix_fmt, stream.height, stream.width = "yuv420p", 64, 96
    container.mux(stream.encode(av.VideoFrame(96, 64, "yuv420p")))
    container.mux(stream.encode())
  with pytest.raises(video.BrokenError, match="no readable MP4"):
    video.probe(str(path))


@pytest.mark.parametrize("name", ["av1", "h264", "hevc"])
def test_a_damaged_frame_is_named(files, name, tmp_path):
  opened = video.probe(str(files[name]))
  content = bytearray(files[name].read_bytes())
  keyframe = int(opened.starts[opened.order[17]])
  begin, size = (int(a[keyframe]) for a in (opened.positions, opened.sizes))
  content[begin : begin + size] = bytes(size)
  path = tmp_path / "video.mp4"
  path.write_bytes(content)
  damaged, decoders = video.probe(str(path)), decoding.Decoders()
  with pytest.raises(video.BrokenError) as told:
    read(damaged, [2, 17], decoders)
  assert told.value.frame == 17
  with pytest.raises(video.BrokenError) as told:
    read(damaged, list(range(FRAMES)), decoders)
  assert told.value.frame == opened.order.tolist().index(keyframe)
  # and the decoder that met it spoils nothing
  (image,) = read(damaged, [2], decoders)
  assert make_lerobot.number_in(image) == 2


def test_what_is_not_as_the_metadata_say(files):
  opened = video.probe(str(files["av1"]))
  video.check(opened, 64, 96, 10.0)
  video.check(opened, 64, 96, 9.99)
  with pytest.raises(video.BrokenError, match=r"64x96, info\.json says 96x64"):
    video.check(opened, 96, 64, 10.0)
  with pytest.raises(video.BrokenError, match=r"10 frames a second.* 30"):
    video.check(opened, 64, 96, 30.0)


@pytest.mark.parametrize("codec", [make_lerobot.H264, make_lerobot.AV1])
def test_frames_that_are_larger_than_they_should_be(tmp_path, codec):
  path = tmp_path / "video.mp4"
  plan = make_lerobot.Plan(height=480, width=640, codec=codec)
  make_lerobot.write_video(path, [5], 0, plan)
  opened = video.probe(str(path))
  assert make_lerobot.number_in(read(opened, [0])[0]) == 5
  with pytest.raises(video.BrokenError, match="cannot be decoded"):
    read(dataclasses.replace(opened, height=64, width=96), [0])
  with pytest.raises(video.BrokenError, match="a frame of 480x640"):
    read(dataclasses.replace(opened, height=481), [0])


def box(kind, *content):
  body = b"".join(content)
  return struct.pack(">I4s", 8 + len(body), kind) + body


def movie(table):
  handler = box(b"hdlr", bytes(8) + b"vide" + bytes(12))
  sound = box(b"hdlr", bytes(8) + b"soun" + bytes(12))
  return box(
    b"moov",
    box(b"trak", box(b"mdia", sound)),
    box(b"trak", box(b"mdia", handler, box(b"minf", box(b"stbl", table)))),
  )


def test_offsets_are_those_of_the_video_track(tmp_path):
  path = tmp_path / "tables"
  entries = struct.pack(">IIIiIi", 0, 2, 2, 512, 1, -256)
  path.write_bytes(box(b"ftyp", bytes(8)) + movie(box(b"ctts", entries)))
  with path.open("rb") as file:
    assert mp4.composition_offsets(file, 3).tolist() == [512, 512, -256]
    with pytest.raises(ValueError, match="3 frames of 4"):
      mp4.composition_offsets(file, 4)


@pytest.mark.parametrize(
  "content",
  [
    b"",
    bytes(64),
    box(b"ftyp"),
    box(b"moov"),
    struct.pack(">I4sQ", 1, b"moov", 1 << 60),
    movie(box(b"ctts", struct.pack(">II", 0, 1 << 31))),
    movie(box(b"ctts", struct.pack(">IIii", 0, 1, -1, 1))),
  ],
)
def test_damaged_tables(tmp_path, content):
  path = tmp_path / "tables"
  path.write_bytes(content)
  with (
    path.open("rb") as file,
    pytest.raises(ValueError, match=r"box|track|ctts"),
  ):
    mp4.composition_offsets(file, 3)
