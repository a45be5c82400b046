"""What a person tells fills what files leave open, and contradicts nothing."""

import json

import checking
import pytest
import sample

from carnet import errors
from carnet.passport import contract, schema
from carnet.passport.checks import contract as contract_checks
from carnet.passport.static import robot

CAMERA = {"mounting": "above", "serial": "S1", "usb_path": "1-2"}
BANNED = {"package": "numpy", "specifier": "<1", "reason": "wrong"}
ROWS = [{"name": "x", "start": 0, "stop": sample.STATE, "unit": None}]
OPEN = {
  "input_contract/state/sub_keys": ROWS,
  "input_contract/temporal/control_hz": None,
  "model_identity/runtime_constraints": None,
  "model_internals/pretrained_provenance": [
    {"submodule": "eye", "source_identifier": "hub/eye"}
    | {"source_revision": None, "file_sha256": None}
  ],
}


def told(tmp_path, **content):
  path = tmp_path / "robot.json"
  path.write_text(json.dumps(content))
  return robot.read(path)


def test_every_open_field_is_filled_and_nothing_else(step, tmp_path):
  setup = told(
    tmp_path,
    cameras={sample.CAMERA: CAMERA},
    units={"x": "rad"},
    control_hz=30.0,
    source_revisions={"eye": "f37072fd"},
    known_incompatible=[BANNED],
  )
  draft = sample.passport(step, **OPEN)
  found = robot.apply(draft, setup)
  image = found.input_contract.images[0]
  assert image.physical_mounting == "above"
  assert (image.camera_serial, image.camera_usb_path) == ("S1", "1-2")
  assert found.input_contract.state.sub_keys[0].unit == "rad"
  assert found.input_contract.temporal.control_hz == 30.0
  parts = found.model_internals.pretrained_provenance
  assert [x.source_revision for x in parts] == ["f37072fd"]
  constraints = found.model_identity.runtime_constraints
  assert [x.package for x in constraints.known_incompatible] == ["numpy"]
  assert schema.decode(schema.encode(found), "it") == found
  assert found.input_contract.actions == draft.input_contract.actions
  assert robot.apply(draft, told(tmp_path)) == draft


def test_a_camera_has_two_names(step, tmp_path):
  draft = sample.passport(step)
  for image in draft.input_contract.images:
    for name in (image.key, image.short_key):
      found = robot.apply(draft, told(tmp_path, cameras={name: CAMERA}))
      assert found.input_contract.images[0].camera_serial == "S1"


@pytest.mark.parametrize(
  ("content", "message"),
  [
    ({"cameras": {"tip": CAMERA}}, r"unknown camera 'tip'.* 'top'"),
    ({"units": {"wing": "rad"}}, "unknown slice of state or actions 'wing'"),
    ({"source_revisions": {"ear": "1"}}, "unknown pretrained part 'ear'"),
    ({"control_hz": 30.0}, "says control_hz 30.0 of temporal, .* says 50.0"),
    ({"camera": {}}, "camera: "),
    ({"cameras": {"top": {"serial": 5}}}, "cameras/top/serial"),
    ({"control_hz": "50"}, "control_hz"),
    ({"control_hz": -5.0}, "control_hz"),
    ({"cameras": {"top": {"serial": ""}}}, "cameras/top/serial"),
    ({"cameras": {"top": CAMERA, sample.CAMERA: CAMERA}}, "one camera twice"),
    (
      {"known_incompatible": [BANNED | {"specifier": "<<"}]},
      "of numpy: '<<' is no specifier",
    ),
  ],
  ids=[
    *("camera", "slice", "part", "rate", "key", "number", "text"),
    *("negative", "empty", "twice", "specifier"),
  ],
)
def test_what_does_not_fit_is_refused(step, tmp_path, content, message):
  with pytest.raises(errors.UserError, match=message):
    robot.apply(sample.passport(step), told(tmp_path, **content))


def test_without_a_contract_there_is_nothing_to_fill(step, tmp_path):
  draft = sample.passport(step).model_copy(update={"input_contract": None})
  with pytest.raises(errors.UserError, match="no input contract"):
    robot.apply(draft, told(tmp_path, control_hz=30.0))


def test_what_a_person_told_is_no_difference_from_the_files(step, tmp_path):
  needed = sample.passport(step, **OPEN).input_contract
  section = contract.InputContract.model_dump(needed, mode="json")
  config = json.loads((step / "config.json").read_bytes())
  config["passport"]["input_contract"] = section
  (step / "config.json").write_text(json.dumps(config))
  setup = told(tmp_path, units={"x": "rad"}, control_hz=30.0)
  found = robot.apply(sample.passport(step, **OPEN), setup)
  changes = contract_checks.plain(found.input_contract)
  sample.write(step, **OPEN | {"input_contract": changes})
  checks = contract_checks.CHECKS
  assert "contract_matches_config" not in checking.red(step, checks)
  changes["state"]["sub_keys"][0]["name"] = "y"  # this a file does tell
  sample.write(step, **OPEN | {"input_contract": changes})
  assert "contract_matches_config" in checking.red(step, checks)
