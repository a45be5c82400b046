"""A run of ours, exported, imported and exported again: nothing is lost."""

import copy
import json
import pathlib
import sys
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import a_checkpoint

from act import normalize
from act.lerobot import assembling, carried, exporting, importing, locating
from carnet import checkpoint as checkpoint_lib
from carnet import errors, run_context
from carnet.passport import context
from carnet.passport.static import given, provenance

REVISION = "sha256:" + "5" * 64
DATASET = a_checkpoint.DATASET | {
  "skipped": [{"episode": 1, "reason": "video: cut short"}],
  "source": {"identity": "user/so101", "revision": REVISION},
}
PARENTS: list[dict[str, Any]] = [
  {
    "path": "user/first@" + "c" * 40,
    "step": 1,
    "relation": "import",
    "format": "original ACT",
    "files": {"policy_best.ckpt": "1" * 64},
  },
  {
    "path": "/runs/second",
    "step": 2,
    "manifest_sha256": "2" * 64,
    "tree_sha256": "3" * 64,
    "components": ["agent"],
    "regex": None,
    "rename": {"agent/a": "agent/b"},
    "exclude": None,
  },
]


def all_ten() -> dict[str, Any]:
  """Returns statistics as those of a LeRobotDataset: ten names each."""
  blocks = a_checkpoint.blocks(a_checkpoint.SMALL)
  for block in blocks.values():
    block["q50"] = block["mean"]
    block["count"] = [1234567.0]
  return blocks


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
  """Returns the steps: ours, exported, imported, exported again."""
  place = tmp_path_factory.mktemp("own")
  config = a_checkpoint.narrow()
  config.normalization.minimum_std = 1e-2
  own = a_checkpoint.save(
    place / "own",
    config,
    a_checkpoint.SMALL,
    DATASET,
    blocks_of=all_ten(),
  )
  asked = exporting.Asked(any_widths=True)
  once = exporting.export_policy(own, place / "once", asked)
  write_origin(once)
  back = importing.import_policy(str(once), place / "back", importing.Asked())
  twice = exporting.export_policy(back, place / "twice", asked)
  return [own, once, back, twice]


def write_origin(place: pathlib.Path, **changes: Any) -> None:
  """Gives carnet.json ancestors and episodes, as those of a longer life."""
  path = place / "carnet.json"
  document = json.loads(path.read_text())
  document["lineage"] = copy.deepcopy(PARENTS)
  document["dataset"] |= {
    "training_episodes": [0, 2],
    "held_out_episodes": [3],
    "excluded_episodes": [4],
  }
  path.write_text(json.dumps(document | changes))


def test_every_file_is_bit_equal(places: list[pathlib.Path]) -> None:
  once, twice = places[1].parent, places[3].parent
  names = {
    x.relative_to(once).as_posix() for x in once.rglob("*") if x.is_file()
  }
  assert names == {
    x.relative_to(twice).as_posix() for x in twice.rglob("*") if x.is_file()
  }
  # two tell of the checkpoint on the way, and one is drawn by deviations as
  # they are before the floor
  for name in ("carnet.json", "README.md", "carnet_example.npz"):
    names.remove(f"pretrained_model/{name}")
  differ = [
    x
    for x in sorted(names)
    if (once / x).read_bytes() != (twice / x).read_bytes()
  ]
  assert not differ
  assert len(names) > 9


def test_all_statistics_come_along(places: list[pathlib.Path]) -> None:
  before, after = (
    checkpoint_lib.read_json(x, "stats.json") for x in (places[0], places[2])
  )
  assert before.keys() == after.keys()
  for feature, block in before.items():
    assert block.keys() == after[feature].keys()
    assert len(block) == 10
    for name, values in block.items():
      numbers = np.float32(values)
      if feature.startswith("images/") and name in normalize.IMAGENET:
        numbers = np.float32(normalize.IMAGENET[name])  # as the run scaled them
      if name == "std":
        numbers = np.maximum(numbers, np.float32(1e-2))
      np.testing.assert_array_equal(numbers, np.float32(after[feature][name]))


def test_the_origin_comes_along(places: list[pathlib.Path]) -> None:
  back = places[2]
  lineage = checkpoint_lib.read_manifest(back).lineage
  told = [x | {"told_by": "carnet.json"} for x in PARENTS]
  assert list(lineage[:-1]) == told
  assert lineage[-1]["relation"] == "import"
  assert "carnet.json" in lineage[-1]["files"]
  dataset = checkpoint_lib.read_json(back, "dataset.json")
  assert dataset["task"] == "user/so101"
  assert dataset["source"]["revision"] == REVISION
  assert dataset["skipped"] == DATASET["skipped"]
  document = json.loads((places[1] / "carnet.json").read_text())
  assert dataset["source"]["exported_from"] == {
    "step": 3,
    "sha256": document["sha256"],
  }
  assert "as carnet.json says" in " ".join(dataset["source"]["notes"])
  context_of_run = run_context.read(back)
  assert context_of_run is not None
  [data] = context_of_run.datasets
  assert (data.id, data.revision) == ("user/so101", REVISION)
  assert data.split == {
    "training_episodes": [0, 2],
    "validation_episodes": [3],
    "excluded_episodes": [4],
  }
  again = json.loads((places[3] / "carnet.json").read_text())
  assert again["dataset"] == document["dataset"]
  assert again["lineage"] == list(lineage)


def test_the_passport_says_who_told(places: list[pathlib.Path]) -> None:
  back = places[2]
  came = provenance.provenance(
    context.Context(back),
    given.Given(),
    checkpoint_lib.read_json(back, "config.json"),
    run_context.read(back),
  )
  first, second, last = came.lineage
  assert first.note.startswith("as carnet.json says: original ACT")
  assert second.note.startswith("as carnet.json says: step 2")
  assert second.parent_tree_sha256 == "3" * 64
  assert not last.note.startswith("as ")
  assert came.training_run.finished_utc is None
  assert came.training_datasets[0].revision == REVISION


def parent(**changes: Any) -> dict[str, Any]:
  return {"lineage": [PARENTS[1] | changes]}


STRANGE: dict[str, tuple[Any, str]] = {
  "another format": ({"format": "x"}, "format: "),
  "a later version": ({"format_version": 2}, "format_version: "),
  "no lineage": ({"lineage": {}}, "lineage: "),
  "endless lineage": ({"lineage": PARENTS * 33}, "lineage: .*at most 64"),
  "unknown fact": (parent(note="trust me"), "lineage.0.note: "),
  "no digest": (parent(tree_sha256="x"), "lineage.0.tree_sha256: "),
  "long": (parent(path="x" * 9999), "lineage.0.path: .*at most 4096"),
  "step": (parent(step=-1), "lineage.0.step: "),
  "revision": ({"dataset": {"revision": 7}}, "dataset.revision: "),
  "half a letter": ({"dataset": {"identity": "\ud800"}}, "dataset.identity: |"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_nobody_is_believed(
  name: str, places: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
  changes, says = STRANGE[name]
  place = copied(places[1], tmp_path)
  write_origin(place, **changes)
  with pytest.raises(errors.UserError, match=f"carnet.json.*{says}") as caught:
    assembling.of_lerobot(locating.find(str(place)), "")
  assert len(str(caught.value).splitlines()) == 1
  assert len(str(caught.value)) < 800


def copied(place: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
  """Returns a copy without the optimizer."""
  new = tmp_path / "theirs"
  new.mkdir()
  for path in place.iterdir():
    (new / path.name).write_bytes(path.read_bytes())
  return new


def test_escapes_are_spelled(
  places: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
  place = copied(places[1], tmp_path)
  write_origin(place, **parent(path="\x1b[2J\u202ea"))
  found = assembling.of_lerobot(locating.find(str(place)), "").before
  assert found.lineage[0]["path"] == "\\x1b[2J\\u202ea"


def test_other_weights_have_another_origin(
  places: list[pathlib.Path], tmp_path: pathlib.Path
) -> None:
  place = copied(places[1], tmp_path)
  files = {"pretrained_model/model.safetensors": "0" * 64}
  write_origin(place, files=files)
  policy = assembling.of_lerobot(locating.find(str(place)), "")
  assert policy.before == carried.Carried(notes=policy.before.notes)
  assert "of other weights" in policy.notes[0]
