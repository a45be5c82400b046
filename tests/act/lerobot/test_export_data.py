"""An export names the data of the run, its episodes and its cameras."""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "recordings"))
import a_checkpoint
import a_run
import make_lerobot

from act.lerobot import exporting, importing, trained_on
from act.recordings import base, caching
from carnet import checkpoint as checkpoint_lib

PLAN = make_lerobot.Plan(
  version="v2.1", lengths=(6, 5, 7, 8, 5, 6, 5), height=32, width=48
)
BAD, EXCLUDED, HELD_OUT = 1, 3, (4, 6)
TRAINED = [0, 2, 5]
HAND = "observation.images.wrist => hand"
# the policy's order is not that of the data
CAMERAS = {
  "hand": "observation.images.wrist",
  "top": "observation.images.top",
}
COMMIT = "0123456789" * 4
LINEAGE = (
  {"path": "user/first", "step": 1, "relation": "import", "files": {}},
  {"path": "/runs/second", "step": 2},
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """Returns a LeRobotDataset of which one video is truncated."""
  place = tmp_path_factory.mktemp("data") / "so101"
  make_lerobot.make(place, PLAN)
  video = next(place.glob(f"videos/*/*.wrist/episode_{BAD:06d}.mp4"))
  video.write_bytes(video.read_bytes()[:-200])
  return place


@pytest.fixture(scope="module")
def spoilt(root: pathlib.Path) -> a_run.Run:
  return a_run.run(
    f"lerobot:{root}",
    HELD_OUT,
    cameras=("hand", "top"),
    rename=(HAND,),
    exclude_episodes=(EXCLUDED,),
    skip_bad_episodes=True,
  )


@pytest.fixture(scope="module")
def exported(
  spoilt: a_run.Run, tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
  """Returns `pretrained_model` of a run whose data are those of `spoilt`."""
  directory = tmp_path_factory.mktemp("exported")
  step = a_checkpoint.save(
    directory / "run",
    spoilt.config,
    spoilt.opened.features,
    spoilt.opened.metadata,
    context=spoilt.context.to_json(),
    lineage=LINEAGE,
  )
  asked = exporting.Asked(any_widths=True)
  return exporting.export_policy(step, directory / "out", asked)


def read(path: pathlib.Path) -> Any:
  return json.loads(path.read_text())


def test_a_resumed_training_takes_the_same_episodes(
  exported: pathlib.Path, root: pathlib.Path
) -> None:
  found = read(exported / "train_config.json")["dataset"]
  assert found["episodes"] == TRAINED
  assert found["eval_split"] == 0.0
  assert found["repo_id"] == "so101"
  assert found["root"] == str(root)
  assert found["revision"] is None


def test_papers_say_which_episodes_were_left_out(
  exported: pathlib.Path, spoilt: a_run.Run
) -> None:
  facts = read(exported / "carnet.json")
  (recorded,) = spoilt.context.datasets
  data = facts["dataset"]
  assert data["identity"] == "so101"
  assert data["revision"] == recorded.revision
  assert data["training_episodes"] == TRAINED
  assert data["held_out_episodes"] == list(HELD_OUT)
  assert data["excluded_episodes"] == [EXCLUDED]
  (skipped,) = data["skipped"]
  assert skipped["episode"] == BAD
  (note,) = [x for x in facts["notes"] if "trained on" in x]
  assert "3 of 7 episodes (held out 4, 6; unsound 1; excluded 3)" in note
  assert note in (exported / "README.md").read_text()


def test_the_whole_lineage_goes_along(exported: pathlib.Path) -> None:
  assert read(exported / "carnet.json")["lineage"] == list(LINEAGE)


def test_notes_are_warned_of(
  spoilt: a_run.Run, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  assert len(spoilt.data.notes()) == 1
  step = a_checkpoint.save(
    tmp_path / "run",
    a_checkpoint.config(
      {"use_vae": False}, dataset={"environment_state": "environment_state"}
    ),
    dataclasses.replace(
      spoilt.opened.features, images=(), environment_state_size=2
    ),
    spoilt.opened.metadata,
    context=spoilt.context.to_json(),
  )
  exporting.export_policy(step, tmp_path / "out")
  assert "warning: the run trained on 3 of 7" in capsys.readouterr().err


def test_all_episodes_are_not_listed(root: pathlib.Path) -> None:
  sound = a_run.run(f"lerobot:{root}", cameras=("top",))
  assert sound.data.training == tuple(range(7))
  assert sound.data.episodes is None
  assert not sound.data.notes()


def test_the_first_episodes_are_listed(root: pathlib.Path) -> None:
  first = a_run.run(f"lerobot:{root}", cameras=("top",), episodes=3)
  assert first.data.episodes == [0, 1, 2]
  (note,) = first.data.notes()
  assert "trained on 3 of 7 episodes:" in note


def test_data_of_the_hub(spoilt: a_run.Run) -> None:
  metadata = dict(spoilt.opened.metadata)
  origin = f"lerobot:user/so101@{COMMIT}"
  metadata["source"] = metadata["source"] | {"origin": origin}
  (recorded,) = spoilt.context.datasets
  found = trained_on.of(spoilt.config.dataset, metadata, recorded)
  assert (found.identity, found.commit) == ("user/so101", COMMIT)
  assert found.root is None
  assert found.episodes == TRAINED


def test_data_of_a_relative_path_that_are_gone(
  spoilt: a_run.Run, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.chdir(tmp_path)
  metadata = dict(spoilt.opened.metadata)
  metadata["source"] = metadata["source"] | {"origin": "lerobot:data/so101"}
  (recorded,) = spoilt.context.datasets
  found = trained_on.of(spoilt.config.dataset, metadata, recorded)
  assert found.root == str(tmp_path / "data/so101")
  assert any("where nothing is now" in note for note in found.notes())


def test_an_imported_policy_keeps_what_lerobot_said(spoilt: a_run.Run) -> None:
  """Nothing of ours is known of its data."""
  (recorded,) = spoilt.context.datasets
  unknown = recorded.model_copy(update={"split": None})
  found = trained_on.of(spoilt.config.dataset, {"task": "user/x"}, unknown)
  assert found.episodes is None
  assert not found.notes()


def test_a_cache_leads_to_its_source(
  spoilt: a_run.Run, root: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  options = base.Options(skip_bad=True)
  place = caching.cache(
    f"lerobot:{root}",
    tmp_path / "cache",
    caching.Asked(workers=1),
    options,
  )
  cached = a_run.run(
    place,
    HELD_OUT,
    cameras=("hand", "top"),
    rename=(HAND,),
    exclude_episodes=(EXCLUDED,),
    skip_bad_episodes=True,
  )
  assert cached.names == spoilt.names
  ours, theirs = cached.data, spoilt.data
  assert ours.skipped.keys() == theirs.skipped.keys()
  same = dataclasses.replace(ours, skipped=theirs.skipped)
  assert same == theirs


def test_names_are_those_of_the_data(
  spoilt: a_run.Run, root: pathlib.Path
) -> None:
  assert list(spoilt.names.cameras.items()) == list(CAMERAS.items())
  assert not spoilt.names.renamed
  plain = a_run.run(f"lerobot:{root}", cameras=("wrist", "top"), episodes=1)
  assert list(plain.names.cameras.items()) == [
    ("wrist", "observation.images.wrist"),
    ("top", "observation.images.top"),
  ]


def test_names_of_our_own_demonstrations(tiny_dataset: pathlib.Path) -> None:
  """As export-dataset writes them."""
  ours = a_run.run(
    tiny_dataset,
    (5,),
    cameras=("wrist", "over"),
    state="qpos",
    rename=("top => over",),
  )
  assert list(ours.names.cameras.items()) == [
    ("wrist", "observation.images.wrist"),
    ("over", "observation.images.top"),
  ]
  assert not ours.names.renamed
  assert ours.data.root is None
  assert ours.data.episodes == [0, 1, 2, 3, 4]
  assert any("export-dataset" in note for note in ours.data.notes())
  (note,) = ours.data.notes(repo_id="me/demos")  # where they are by now
  assert "trained on 5 of 6 episodes (held out 5)" in note
  plain = a_run.run(tiny_dataset, cameras=("top",), state="qpos")
  assert "names" not in plain.opened.metadata
  assert plain.names.cameras == {"top": "observation.images.top"}
  assert plain.data.episodes is None
  assert plain.data.revision == plain.opened.revision


def test_what_comes_back_has_the_cameras_in_order(
  exported: pathlib.Path, tmp_path: pathlib.Path
) -> None:
  back = importing.import_policy(
    str(exported), tmp_path / "back", importing.Asked()
  )
  written = read(exported / "config.json")["input_features"]
  visual = [k for k, x in written.items() if x["type"] == "VISUAL"]
  assert visual == list(CAMERAS.values())
  names = checkpoint_lib.read_json(back, "dataset.json")["names"]
  assert [names[k] for k in names if k.startswith("images/")] == visual
  again = exporting.export_policy(
    back, tmp_path / "again", exporting.Asked(any_widths=True)
  )
  for name in ("config.json", "train_config.json"):
    assert read(again / name) == read(exported / name)
  before, after = (read(x / "carnet.json") for x in (exported, again))
  assert after["dataset"] == before["dataset"]
  *carried, entry = after["lineage"]
  assert [x["path"] for x in carried] == [x["path"] for x in LINEAGE]
  assert entry["relation"] == "import"


def test_an_imported_policy_of_ours_still_knows_its_episodes(
  spoilt: a_run.Run, root: pathlib.Path
) -> None:
  """As an import of carnet.json has them, and train_config.json the place."""
  (recorded,) = spoilt.context.datasets
  told = {"root": str(root), "revision": None, "episodes": TRAINED}
  metadata = {
    "task": "so101",
    "source": {"origin": "/exports/so101", "revision": "sha256:1"},
    "lerobot": {"train_config": {"dataset": told}},
  }
  found = trained_on.of(spoilt.config.dataset, metadata, recorded)
  assert found.episodes == TRAINED
  assert (found.root, found.revision) == (str(root), "sha256:1")
  (note,) = found.notes()
  assert "3 episodes (held out 4, 6; excluded 3)" in note
  told["episodes"] = None  # it was all of them
  everything = dict(recorded.split or {}) | {"training_episodes": [0, 1]}
  everything["validation_episodes"] = []
  recorded = recorded.model_copy(update={"split": everything})
  found = trained_on.of(a_checkpoint.narrow().dataset, metadata, recorded)
  assert found.episodes is None
  assert not found.notes()
