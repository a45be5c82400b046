"""LeRobot's own checkpoint in and out again: nothing is changed or lost.

`ACT_FIXTURES` names the set (default: tests/fixtures/lerobot_act_tiny).
"""

import json
import os
import pathlib

import pytest
import safetensors.numpy

from act.lerobot import exporting, importing

pytestmark = pytest.mark.parity

DEFAULT = pathlib.Path(__file__).parents[2] / "fixtures/lerobot_act_tiny"
FIXTURES = pathlib.Path(os.environ.get("ACT_FIXTURES", DEFAULT))
[STEP] = [
  path
  for path in (FIXTURES / "run/checkpoints").iterdir()
  if path.name.isdigit()
]
FILES = [str(x.relative_to(STEP)) for x in STEP.rglob("*") if x.is_file()]
# generators cannot be translated
FRESH = "training_state/rng_state.safetensors"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  directory = tmp_path_factory.mktemp("round_trip")
  step = importing.import_policy(
    str(FIXTURES / "run"), directory / "run", importing.Asked()
  )
  asked = exporting.Asked(any_widths=True)
  return exporting.export_policy(step, directory / "out", asked).parent


def test_names(exported: pathlib.Path) -> None:
  assert exported.name == STEP.name


@pytest.mark.parametrize("name", sorted(FILES))
def test_file_is_the_same(exported: pathlib.Path, name: str) -> None:
  theirs, ours = STEP / name, exported / name
  if name.endswith(".json"):
    written = json.loads(ours.read_text())
    recorded = json.loads(theirs.read_text())
    if name.endswith("training_step.json"):  # for older versions, too
      written = {key: written[key] for key in recorded}
    assert written == recorded
    return
  before = safetensors.numpy.load_file(theirs)
  after = safetensors.numpy.load_file(ours)
  assert before.keys() == after.keys()
  for key, value in before.items():
    assert after[key].dtype == value.dtype
    assert after[key].shape == value.shape
    if name != FRESH:
      assert after[key].tobytes() == value.tobytes(), key


def test_order_of_fields_is_theirs(exported: pathlib.Path) -> None:
  for name in ("config.json", "train_config.json"):
    ours, theirs = (
      list(json.loads((x / "pretrained_model" / name).read_text()))
      for x in (exported, STEP)
    )
    known = [key for key in theirs if key in ours]
    assert [key for key in ours if key in known] == known
