"""The contract: complete, of one piece, as the checkpoint's files have it."""

import json

import checking
import pytest
import sample

from carnet.checkpoint import directory
from carnet.passport import schema
from carnet.passport.checks import contract

BASE = "input_contract"


def red(step, **options):
  return checking.red(step, contract.CHECKS, **options)


def one(step, name, **options):
  return checking.findings(step, contract.CHECKS, **options)[name].finding


def tell(step, **told):
  """Puts a section "passport" into config.json, and writes the passport."""
  place = step / "config.json"
  config = json.loads(place.read_text())
  place.write_text(json.dumps({**config, "passport": told}))
  sample.write(step)


def told_of(step):
  found = json.loads((step / directory.PASSPORT).read_text())
  return {
    "input_contract": found["input_contract"],
    "transform_pipeline": found["transform_pipeline"],
    "inference_parameters": found["output_spec"]["inference_parameters"],
    "forward_graph": found["model_internals"]["forward_graph"],
    "class_name": "Policy",
    "class_module": "somewhere_else.policy",
  }


def test_the_sample_is_green(step):
  assert red(step) == []


def test_without_a_contract_one_check_fails_and_the_others_wait(step):
  sample.write(step, **{BASE: None})
  assert red(step) == ["contract_present"]
  assert one(step, "mask_len").status == "not_checked"


def test_a_policy_that_sees_nothing(step):
  sample.write(step, **{f"{BASE}/images": [], f"{BASE}/state/dim": 0})
  assert "contract_present" in red(step)


def test_every_field_that_differs_from_the_configuration_is_listed(step):
  tell(step, **told_of(step))
  assert one(step, "contract_matches_config").status == "pass"
  sample.write(
    step,
    **{
      f"{BASE}/actions/horizon": 8,
      f"{BASE}/images/0/color": "BGR",
      f"{BASE}/images/0/resize": {
        **{"height": 12, "width": 16, "method": "bilinear"},
        **{"antialias": True, "keep_aspect": False, "pad_value": -1.0},
      },
      "output_spec/inference_parameters/chunk_size": 8,
      "family": "other",
    },
  )
  found = one(step, "contract_matches_config")
  assert found.status == "fail"
  assert "4 fields differ" in found.evidence
  for pointer in (
    "/input_contract/actions/horizon is 8, expected 4",
    '/input_contract/images/0/color is "BGR", expected "RGB"',
    "/input_contract/images/0/resize is {",
    "/output_spec/inference_parameters/chunk_size is 8, expected 4",
  ):
    assert pointer in found.evidence


def test_what_people_fill_in_is_not_compared(step):
  tell(step, **told_of(step))
  sample.write(
    step,
    **{
      f"{BASE}/images/0/physical_mounting": "above the table",
      f"{BASE}/images/0/camera_serial": "A1",
      f"{BASE}/images/0/camera_usb_path": "1-2",
    },
  )
  assert red(step) == []


def test_a_configuration_that_tells_nothing_is_not_a_pass(step):
  assert one(step, "contract_matches_config").status == "not_checked"


def test_a_family_is_no_label_to_choose(step):
  sample.write(step, family="act")
  assert red(step) == ["contract_matches_config"]
  assert "/family" in one(step, "contract_matches_config").where


def test_the_configuration_of_a_family_that_is_not_installed(step):
  place = step / "config.json"
  config = json.loads(place.read_text())
  config["agent"] = "nobody"
  place.write_text(json.dumps(config))
  sample.write(step, family="dreamerv3")
  assert "contract_matches_config" in red(step)


@pytest.mark.parametrize(
  ("pointer", "value", "name"),
  [
    ("state/dim", 4, "sub_keys_cover_dim"),
    ("state/sub_keys/1/start", 2, "sub_keys_cover_dim"),
    ("state/sub_keys/1/name", "waist", "sub_keys_cover_dim"),
    ("actions/sub_keys/1/stop", 3, "sub_keys_cover_dim"),
    ("actions/norm_mask", [True] * 3, "mask_len"),
    ("actions/delta_dims/delta_mask", [False], "mask_len"),
    ("actions/low", [0.0], "mask_len"),
    ("actions/high", None, "mask_len"),
    ("actions/low", [9.0, 9.0], "mask_len"),
    ("actions/delta_dims/absolute_dims_reason", " ", "delta_reason"),
    ("temporal/n_obs_steps", 2, "delta_indices_match"),
    ("temporal/observation_delta_indices", [-1], "delta_indices_match"),
    ("images/0/shape", [24, 32, 3], "forward_shapes"),
    ("state/dim", 4, "forward_shapes"),
    ("actions/dim", 3, "forward_shapes"),
    ("actions/horizon", 5, "forward_shapes"),
  ],
)
def test_a_contract_that_contradicts_itself(step, pointer, value, name):
  sample.write(step, **{f"{BASE}/{pointer}": value})
  assert name in red(step)


def test_times_are_those_of_the_configuration(step):
  sample.write(
    step,
    **{
      f"{BASE}/temporal/n_obs_steps": 2,
      f"{BASE}/temporal/observation_delta_indices": [-1, 0],
    },
  )
  assert "[0]" in one(step, "delta_indices_match").expected


def test_all_relative_needs_no_reason(step):
  sample.write(
    step,
    **{
      f"{BASE}/actions/delta_dims": {
        "delta_mask": [True, True],
        "absolute_dims_reason": "",
      }
    },
  )
  assert red(step) == []


def memory(**changes):
  return {
    "carry_spec": {"deter": {"shape": [8], "dtype": "float32"}},
    "reset_flag_key": "is_first",
    **changes,
  }


def test_a_memory_is_looked_at_for_nan(step):
  sample.write(step, **{f"{BASE}/recurrent": memory()})
  assert red(step) == ["carry_matches"]
  checked = "output_spec/smoke_results/nan_inf/checked"
  sample.write(
    step, **{f"{BASE}/recurrent": memory(), checked: ["actions", "carry"]}
  )
  assert red(step) == []


@pytest.mark.parametrize(
  ("family", "recurrent"),
  [
    ("dreamerv3", None),
    ("act", memory()),
    ("other", memory(carry_spec={})),
    (
      "other",
      memory(carry_spec={"x": {"shape": [1], "dtype": "object"}}),
    ),
  ],
)
def test_a_memory_is_as_the_family_has_it(step, family, recurrent):
  checked = "output_spec/smoke_results/nan_inf/checked"
  sample.write(
    step,
    **{
      "family": family,
      f"{BASE}/recurrent": recurrent,
      checked: ["actions", "carry"],
    },
  )
  assert "carry_matches" in red(step)


def test_an_expanded_state_is_a_soft_signal(step):
  sample.write(
    step,
    **{
      f"{BASE}/state/dataset_sub_keys": [
        {"name": "pose", "start": 0, "stop": 2}
      ]
    },
  )
  results = checking.findings(step, contract.CHECKS)
  assert results["state_dim_consistency"].status == "soft"
  assert red(step) == []


def device_map(tmp_path, **cameras):
  place = tmp_path / "cameras.json"
  place.write_text(json.dumps(cameras))
  return place


def test_cameras_of_a_robot(step, tmp_path):
  image = f"{BASE}/images/0"
  sample.write(step, **{f"{image}/camera_serial": "A1"})
  assert one(step, "device_mapping").status == "not_checked"
  right = device_map(tmp_path, **{"images/top": {"serial": "A1"}})
  assert one(step, "device_mapping", device_map=right).status == "pass"
  for wrong in (
    {"images/top": {"serial": "B2"}},
    {"wrist": {"serial": "A1"}},
    {"top": {"serial": "A1"}, "wrist": {"serial": "A1"}},
    {"top": "A1"},
  ):
    place = device_map(tmp_path, **wrong)
    assert red(step, device_map=place) == ["device_mapping"], wrong


def test_a_contract_without_serial_numbers_says_nothing_of_a_robot(
  step, tmp_path
):
  place = device_map(tmp_path, top={"serial": "A1"})
  assert one(step, "device_mapping", device_map=place).status == "not_checked"


def test_the_contract_of_a_changed_sample_is_still_of_the_schema(step):
  assert schema.read(step / directory.PASSPORT).input_contract is not None
