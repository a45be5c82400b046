"""Reference data: there, unchanged, of the right sizes, real, sane."""

import struct
import zlib

import checking
import numpy as np
import PIL.Image
import pytest
import sample

from carnet import errors
from carnet.passport import context, reference_data
from carnet.passport.checks import realism, reference

BASE = "reference_test_vector"


def red(step):
  return checking.red(step, reference.CHECKS)


def one(step, name):
  return checking.findings(step, reference.CHECKS)[name]


def frames(step, pictures):
  """Puts other pictures in the place of the frames."""
  for index, pixels in enumerate(pictures):
    PIL.Image.fromarray(pixels).save(step / sample.sample_step.frame(index))
  sample.write(step)


def array(step, path, values):
  np.save(step / path, np.asarray(values))
  sample.write(step)


def test_the_sample_is_green(step):
  results = checking.findings(step, reference.CHECKS)
  assert results.pop("cameras_see_as_trained").status == "not_checked"
  assert {r.status for r in results.values()} == {"pass"}


def test_without_reference_data_one_check_fails_and_the_others_wait(step):
  sample.write(step, **{BASE: None})
  assert red(step) == ["reference_present"]
  assert one(step, "reference_hashes").status == "not_checked"


@pytest.mark.parametrize(
  "changes",
  [
    {"input_state_path": None, "input_state_hash": None},
    {"input_state_hash": None},
    {"input_images_hash": {}},
    {"input_images_hash": {"wrist": ["0" * 64] * 10}},
    {"input_images_path": None},
    {"n_frames": 9},
    {"n_frames": 1},
  ],
)
def test_everything_that_the_policy_sees_is_recorded(step, changes):
  sample.write(step, **{f"{BASE}/{k}": x for k, x in changes.items()})
  assert "reference_present" in red(step)


@pytest.mark.parametrize(
  "path",
  [
    sample.STATES_PATH,
    sample.ACTIONS_PATH,
    f"{sample.FRAMES_PATH}/top_003.png",
  ],
)
def test_a_missing_or_changed_file(step, path):
  content = bytearray((step / path).read_bytes())
  content[-1] ^= 1
  (step / path).write_bytes(content)
  assert "reference_hashes" in red(step)
  (step / path).unlink()
  assert {"reference_present", "reference_hashes"} <= set(red(step))


def test_recorded_digests_are_those_of_the_listing(step):
  made = sample.passport(step).model_dump(mode="json")
  rows = made["weight_integrity"]["weight_files"]
  for row in rows:
    if row["path"] == sample.STATES_PATH:
      row["sha256"] = "0" * 64
  sample.write(step, **{"weight_integrity/weight_files": rows})
  assert red(step) == ["reference_hashes"]


def test_sizes_are_those_of_the_contract(step):
  frames(step, [np.repeat(x, 2, axis=0) for x in sample.frames()])
  assert red(step) == ["reference_shapes"]


@pytest.mark.parametrize(
  ("path", "shape"),
  [
    (sample.STATES_PATH, (10, 4)),
    (sample.STATES_PATH, (9, 3)),
    (sample.STATES_PATH, (30,)),
    (sample.ACTIONS_PATH, (10, 1)),
  ],
)
def test_arrays_have_the_contracts_sizes(step, path, shape):
  array(step, path, np.linspace(0, 0.1, int(np.prod(shape))).reshape(shape))
  assert "reference_shapes" in red(step)


def test_arrays_of_something_else_are_one_line(step):
  array(step, sample.STATES_PATH, np.full((10, 3), "x"))
  assert "reference_shapes" in red(step)
  array(step, sample.ACTIONS_PATH, np.zeros((10, 2), "datetime64[s]"))
  assert "golden_actions_sane" in red(step)


def bomb(height, width):
  """Returns a PNG that declares more pixels than it has."""
  data = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
  chunk = b"IHDR" + data
  return b"".join(
    [
      b"\x89PNG\r\n\x1a\n",
      struct.pack(">I", len(data)),
      chunk,
      struct.pack(">I", zlib.crc32(chunk)),
    ]
  )


def test_t21_a_picture_that_declares_too_much_is_not_decoded(step, monkeypatch):
  (step / f"{sample.FRAMES_PATH}/top_000.png").write_bytes(bomb(60000, 60000))
  sample.write(step, **{"input_contract/images/0/shape": [60000, 60000, 3]})
  monkeypatch.setattr(
    PIL.Image, "open", lambda *x, **y: pytest.fail("it was decoded")
  )
  assert "reference_shapes" in red(step)
  result = one(step, "reference_range")
  assert "at most" in result.finding.evidence


def test_many_large_frames_are_not_decoded_either(step, monkeypatch):
  monkeypatch.setattr(reference_data, "_MOST_PIXELS", 1000)
  result = one(step, "reference_vector_real")
  assert "at most 1000 pixels" in result.finding.evidence


def test_frames_are_decoded_once(step, monkeypatch):
  calls = []
  picture = reference_data.picture
  monkeypatch.setattr(
    reference_data, "picture", lambda *x: calls.append(x[1]) or picture(*x)
  )
  assert red(step) == []
  assert len(calls) == len(set(calls)) == sample.FRAMES


def test_t20_an_array_that_declares_too_much(step):
  place = step / sample.STATES_PATH
  content = place.read_bytes()
  place.write_bytes(content.replace(b"(10, 3)", b"(99999999999, 3)"[:7]))
  sample.write(step)
  assert "reference_shapes" in red(step)


@pytest.mark.parametrize(
  "content", [b"", b"GIF89a" + b"\0" * 40, b"\x89PNG\r\n\x1a\n" + b"\0" * 40]
)
def test_what_is_no_picture_is_one_line(step, content):
  (step / f"{sample.FRAMES_PATH}/top_000.png").write_bytes(content)
  sample.write(step)
  assert "reference_shapes" in red(step)


def test_a_damaged_picture_is_one_line(step):
  place = step / f"{sample.FRAMES_PATH}/top_000.png"
  place.write_bytes(place.read_bytes()[:60])
  sample.write(step)
  found = context.Context(step)
  needed, vector = found.passport.input_contract, found.passport
  with pytest.raises(errors.UserError, match="damaged"):
    reference_data.frames(found, vector.reference_test_vector, needed.images[0])


def test_more_frames_than_anybody_records(step):
  sample.write(step, **{f"{BASE}/n_frames": 2**40})
  assert "reference_present" in red(step)


def test_pixels_of_0_to_1_are_told(step):
  frames(step, [x // 200 for x in sample.frames()])
  assert one(step, "reference_range").status == "soft"


def test_states_of_no_number(step):
  array(step, sample.STATES_PATH, np.full((10, 3), np.nan))
  assert one(step, "reference_range").status == "soft"


RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, sample.frames().shape, dtype=np.uint8)


@pytest.mark.parametrize(
  ("pictures", "why"),
  [
    (NOISE, "are noise"),
    (np.full_like(NOISE, 128), "are flat"),
    (np.repeat(sample.frames()[:1], 10, axis=0), "are all equal"),
  ],
)
def test_made_up_pictures(step, pictures, why):
  frames(step, pictures)
  result = one(step, "reference_vector_real")
  assert result.status == "soft"
  assert why in result.finding.evidence


def test_a_game_of_dots_is_no_noise():
  """A ball falls, as in Catch: two values, and no neighbours alike."""
  pixels = np.zeros((10, 16, 16, 1), np.uint8)
  for index in range(10):
    pixels[index, index, 5] = pixels[index, 15, 9] = 255
  assert realism.neighbours(pixels) < 0.3
  assert list(realism.faults_of_pictures(pixels)) == []


def test_pictures_of_other_scenes_are_no_episode():
  rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
  scenes = np.stack(
    [
      127 + 120 * np.sin((rows * np.cos(i) + columns * np.sin(i)) / 4 + i * i)
      for i in range(10)
    ]
  )
  pixels = np.repeat(scenes[..., None], 3, axis=-1).astype(np.uint8)
  assert any("unlike" in why for why in realism.faults_of_pictures(pixels))


@pytest.mark.parametrize(
  ("states", "why"),
  [
    (np.zeros((10, 3)), "are all equal"),
    (RNG.normal(size=(10, 3)), "jump like noise"),
  ],
)
def test_made_up_states(step, states, why):
  array(step, sample.STATES_PATH, states)
  result = one(step, "reference_vector_real")
  assert result.status == "soft"
  assert why in result.finding.evidence


def test_a_random_walk_passes_for_motion():
  walks = np.cumsum(np.random.default_rng(1).normal(size=(100, 10, 4)), axis=1)
  flagged = [any(realism.faults_of_vectors(walk)) for walk in walks]
  assert np.mean(flagged) < 0.1
