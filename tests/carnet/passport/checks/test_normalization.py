"""Normalisations: pinned, complete, sane, and undone."""

import json

import checking
import numpy as np
import pytest
import sample

from carnet.passport.checks import normalization

STATE = "input_contract/state/normalization"
ACTIONS = "input_contract/actions"


def red(step):
  return checking.red(step, normalization.CHECKS)


def one(step, name):
  return checking.findings(step, normalization.CHECKS)[name]


def change(step, run):
  """Changes stats.json and writes a passport that pins the new file."""
  place = step / "stats.json"
  blocks = json.loads(place.read_text())
  run(blocks)
  place.write_text(json.dumps(blocks))
  sample.write(step)


def test_the_sample_is_green(step):
  results = checking.findings(step, normalization.CHECKS)
  assert {r.status for r in results.values()} == {"pass"}


def test_statistics_are_pinned(step):
  place = step / "stats.json"
  place.write_text(place.read_text() + " ")
  assert red(step) == ["norm_stats_sha"]
  sample.write(step)
  assert red(step) == []


@pytest.mark.parametrize(
  "pointer",
  [
    f"{STATE}/stats_fingerprint/file_sha256",
    "transform_pipeline/2/params/statistics/file_sha256",
  ],
)
def test_the_pins_of_contract_and_pipeline_are_compared(step, pointer):
  sample.write(step, **{pointer: "0" * 64})
  found = one(step, "norm_stats_sha").finding
  assert found.status == "fail"
  assert found.where == f"/{pointer}"


def test_a_pinned_file_is_listed(step):
  made = sample.passport(step).model_dump(mode="json")
  rows = made["weight_integrity"]["weight_files"]
  kept = [row for row in rows if row["path"] != "stats.json"]
  sample.write(step, **{"weight_integrity/weight_files": kept})
  assert red(step) == ["norm_stats_sha"]


@pytest.mark.parametrize(
  ("pointer", "value"),
  [
    (f"{STATE}/stats_fingerprint", None),
    (f"{STATE}/mode", "imagenet"),
    (f"{STATE}/epsilon", -1e-8),
    (f"{STATE}/clip", [1.0, -1.0]),
    ("input_contract/images/0/normalization", {"mode": "scale"}),
    (
      "input_contract/images/0/normalization",
      {"mode": "scale", "factor": 0.0, "offset": 0.0},
    ),
  ],
)
def test_a_formula_has_its_parameters(step, pointer, value):
  sample.write(step, **{pointer: value})
  assert "norm_formula_known" in red(step)


def test_actions_may_be_scaled_to_their_bounds_without_statistics(step):
  sample.write(step, **{f"{ACTIONS}/normalization": {"mode": "min_max"}})
  assert red(step) == []


@pytest.mark.parametrize("missing", ["mean", "std"])
def test_each_entry_that_a_mode_reads_is_there(step, missing):
  change(step, lambda blocks: blocks["state"].pop(missing))
  found = one(step, "norm_stats_cover_features").finding
  assert found.status == "fail"
  assert missing in found.evidence


@pytest.mark.parametrize(
  ("mode", "missing"),
  [("min_max", "max"), ("quantiles", "q01"), ("quantile10", "q90")],
)
def test_each_mode_reads_its_own_entries(step, mode, missing):
  change(step, lambda blocks: blocks["state"].pop(missing))
  assert red(step) == []
  sample.write(step, **{f"{STATE}/mode": mode})
  assert "norm_stats_cover_features" in red(step)


@pytest.mark.parametrize("std", [0.0, -0.5])
def test_nothing_is_divided_by_almost_nothing(step, std):
  change(step, lambda blocks: blocks["state"].update(std=[std, 1.0, 1.0]))
  sample.write(
    step,
    **{
      f"{STATE}/std_floor": 0.0,
      "transform_pipeline/2/params/std_floor": 0.0,
    },
  )
  assert "norm_stats_finite_nonzero" in red(step)


def test_a_floor_protects(step):
  change(step, lambda blocks: blocks["state"].update(std=[0.0, 1.0, 1.0]))
  assert red(step) == []


def test_a_dimension_that_is_not_normalised_may_be_constant(step):
  def constant(blocks):
    blocks["action"]["min"][0] = blocks["action"]["max"][0] = 0.1

  change(step, constant)
  sample.write(step, **{f"{ACTIONS}/normalization/mode": "min_max"})
  assert "norm_stats_finite_nonzero" in red(step)
  sample.write(
    step,
    **{
      f"{ACTIONS}/normalization/mode": "min_max",
      f"{ACTIONS}/norm_mask": [False, True],
    },
  )
  assert "norm_stats_finite_nonzero" not in red(step)


def test_reference_states_far_from_the_data(step):
  states = np.load(step / sample.STATES_PATH)
  np.save(step / sample.STATES_PATH, np.degrees(states))  # radians expected
  sample.write(step)
  result = one(step, "norm_stats_vs_reference")
  assert result.status == "soft"
  assert "far outside" in result.finding.evidence
  assert red(step) == []


def test_dimensions_that_hardly_moved(step):
  change(step, lambda blocks: blocks["state"].update(std=[1e-5, 1.0, 1.0]))
  sample.write(step, **{f"{STATE}/std_floor": 0.0})
  result = one(step, "norm_stats_vs_reference")
  assert result.status == "soft"
  assert "dimensions [0] hardly moved" in result.finding.evidence


def test_relative_actions_with_the_statistics_of_states(step):
  def absolute(blocks):
    blocks["action"].update(mean=[1.5, -1.5], std=[0.2, 0.2])

  change(step, absolute)
  mask = f"{ACTIONS}/delta_dims/delta_mask"
  sample.write(step, **{mask: [True, True]})
  found = one(step, "norm_stats_vs_reference").finding
  assert "declared relative" in found.evidence


@pytest.mark.parametrize(
  "changes",
  [
    {"norm_round_trip_results": None},
    {"norm_round_trip_results": []},
    {"norm_round_trip_results/0/status": "fail"},
    {"norm_round_trip_results/1/max_abs_error": 0.5},
    {"norm_round_trip_results/1/max_abs_error": -1.0},
    {"norm_round_trip_results/2/within_clip_bound": False},
    {"norm_round_trip_results/2/tolerance": 1e9},
    {"norm_round_trip_results/2/step_index": 1},
    {"norm_round_trip_results/2/step_index": 99},
    {"transform_pipeline/2/invertible": False},
  ],
)
def test_every_normalisation_was_undone(step, changes):
  sample.write(step, **changes)
  assert red(step) == ["norm_round_trip"]


def test_the_unlisted_environment_undoes_nothing(step):
  sample.write(
    step,
    **{
      "transform_pipeline/0/executed_by": "environment",
      "norm_round_trip_results": [
        row
        for row in sample.passport(step).model_dump(mode="json")[
          "norm_round_trip_results"
        ]
        if row["step_index"]
      ],
    },
  )
  assert red(step) == []
