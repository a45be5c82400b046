"""The sample that other tests change is what it says it is."""

import numpy as np
import PIL.Image
import pytest
import sample

from carnet import checkpoint as checkpoint_lib
from carnet import errors
from carnet.checkpoint import digest, directory
from carnet.passport import schema, validate


def test_the_sample_is_a_sound_checkpoint_with_valid_papers(step):
  found = directory.read_manifest(step)
  assert found.step == sample.STEP
  passport = schema.read(step / directory.PASSPORT)
  listed = {file.path for file in passport.weight_integrity.weight_files}
  assert {file.path for file in found.files} < listed
  root = passport.model_internals.tree_digest.root
  assert root == found.tree_sha256
  signoff = sample.signoff(step)
  assert signoff.passport_sha256 == digest.file(step / directory.PASSPORT)
  params = checkpoint_lib.read(step)["agent"]["params"]
  assert params["state"]["kernel"].shape == (sample.STATE, 5)


def test_the_passport_is_written_the_same_way_each_time(step):
  before = (step / directory.PASSPORT).read_bytes()
  sample.write(step)
  assert (step / directory.PASSPORT).read_bytes() == before


def test_changes_are_made_at_json_pointers(step):
  made = sample.passport(
    step, **{"input_contract/images/0/color": "BGR", "known_issues": []}
  )
  assert made.input_contract.images[0].color == "BGR"
  with pytest.raises(ValueError, match="colour"):
    sample.passport(step, **{"input_contract/colour": "BGR"})


def test_reference_data_is_smooth_and_moves(step):
  picture = np.asarray(
    PIL.Image.open(step / f"{sample.FRAMES_PATH}/top_003.png")
  )
  np.testing.assert_array_equal(picture, sample.frames()[3])
  states = np.load(step / sample.STATES_PATH)
  assert states.shape == (sample.FRAMES, sample.STATE)
  assert len(np.unique(states[:, 0])) == sample.FRAMES


def test_no_check_that_there_is_finds_a_fault(step):
  report = validate.validate(step)
  faults = [r.check.id for r in report.results if r.status == "fail"]
  assert faults == []
  with pytest.raises(errors.UserError, match="is no directory"):
    validate.validate(step / "nowhere")
