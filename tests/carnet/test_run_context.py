"""What a run begins with is in every save, and what changed in mid-run too."""

import hashlib
import pathlib
import subprocess
import sys

import pytest

import carnet
from carnet import checkpoint, errors, launch, repository, run_context, run_log
from carnet.checkpoint import directory

MODEL = run_context.Model(
  class_name="Net", class_module="tests.net", config_module=None
)
DATA = run_context.Dataset(
  id="cubes", kind="dataset", revision="1" * 64, loader_class="tests.Loader"
)


def _capture():
  path = pathlib.Path(carnet.__file__)
  return launch.capture(path, [DATA], MODEL, packages=("pytest", "no-such"))


@pytest.fixture(scope="module")
def captured():
  """Returns the facts of this process."""
  return _capture()


def _start(workdir, captured, steps=()):
  """Returns the step that a run of one number begins at; saves `steps`."""
  with checkpoint.Checkpoint(workdir / "checkpoints", verbose=False) as saved:
    agent = saved.register("agent", 0)
    start = launch.load_or_save(saved, workdir, captured)
    for step in steps:
      agent.value = step
      saved.save(step)
  return start


def _read(workdir, step):
  return run_context.read(workdir / f"checkpoints/{step:09d}")


def test_the_first_step_has_the_facts_of_the_launch(tmp_path, captured):
  _start(tmp_path, captured, [5])
  assert _read(tmp_path, 0) == _read(tmp_path, 5) == captured
  place = tmp_path / "checkpoints/000000000"
  files = {file.path for file in directory.read_manifest(place).files}
  assert {run_context.NAME, run_log.NAME} <= files
  assert captured.captured_at_launch
  assert captured.run_log == run_log.NAME
  assert captured.libraries["python"] == sys.version.split()[0]
  assert {"jax", "orbax-checkpoint", "pytest"} <= captured.libraries.keys()
  assert "no-such" not in captured.libraries
  assert captured.training_repository.commit or (
    captured.training_repository.package
  )


def test_a_resumption_keeps_the_launch_and_adds_its_own(tmp_path, captured):
  _start(tmp_path, captured, [5])
  edited = repository.Repository(commit="ab" * 20, dirty=True)
  for start, last in ((5, 7), (7, 8)):
    later = _capture().model_copy(update={"training_repository": edited})
    assert later.run_id != captured.run_id
    assert _start(tmp_path, later, [last]) == start
  found = _read(tmp_path, 8)
  assert [(x.step, x.commit, x.dirty) for x in found.resumptions] == [
    (5, "ab" * 20, True),
    (7, "ab" * 20, True),
  ]
  assert found.model_copy(update={"resumptions": ()}) == captured
  assert len(_read(tmp_path, 7).resumptions) == 1


def test_the_step_is_the_one_that_was_sound(tmp_path, captured):
  _start(tmp_path, captured, [5, 6])
  broken = tmp_path / "checkpoints/000000006/agent/state.json"
  broken.write_bytes(b"1")
  assert _start(tmp_path, _capture(), [9]) == 5
  found = _read(tmp_path, 9)
  assert found.run_id == captured.run_id
  assert [x.step for x in found.resumptions] == [5]


def test_a_run_from_before_these_papers_says_so(tmp_path, captured):
  with checkpoint.Checkpoint(tmp_path / "checkpoints", verbose=False) as saved:
    saved.register("agent", 0)
    saved.save(3)
  assert run_context.read(tmp_path / "checkpoints/000000003") is None
  assert _start(tmp_path, captured, [4]) == 3
  found = _read(tmp_path, 4)
  assert (found.captured_at_launch, found.started_utc) == (False, None)
  assert [x.step for x in found.resumptions] == [3]
  _start(tmp_path, _capture(), [5])
  assert not _read(tmp_path, 5).captured_at_launch


def test_a_dirty_tree_and_its_lock_file_are_recorded(tmp_path):
  code, workdir = tmp_path / "code", tmp_path / "run"
  code.mkdir()
  module = code / "train.py"
  module.write_text("")
  (code / "requirements.lock").write_text("jax==0\n")
  identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
  for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "one"]):
    subprocess.run(["git", *identity, *words], cwd=code, check=True)
  module.write_text("x = 1\n")
  _start(workdir, launch.capture(module, [DATA], MODEL))
  found = _read(workdir, 0)
  assert found.training_repository.dirty is True
  assert len(found.training_repository.diff_sha256) == 64
  assert found.environment.lock_file_sha256 == (
    hashlib.sha256(b"jax==0\n").hexdigest()
  )


def test_another_run_has_another_identity():
  assert _capture().run_id != _capture().run_id


def test_secrets_stay_out_of_the_command(monkeypatch):
  words = [
    "train.py",
    "--wandb_key=secret",
    "--config.hub.api-token",
    "secret",
    "--config.from_checkpoint=https://u:secret@example.org/x",
    "--config.model.tokens=5",
    "--monkey=7",
  ]
  monkeypatch.setattr(sys, "argv", words)
  assert launch.command() == (
    "train.py",
    "--wandb_key=***",
    "--config.hub.api-token",
    "***",
    "--config.from_checkpoint=https://example.org/x",
    "--config.model.tokens=5",
    "--monkey=7",
  )


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ('"format_version": 1', '"format_version": 2'),
    ('"id": "cubes"', '"id": 3'),
    ('"argv"', '"unknown"'),
    ('"kind": "dataset"', '"kind": "data"'),
    ("{", "["),
  ],
)
def test_malformed_papers_are_refused_by_place(tmp_path, captured, old, new):
  _start(tmp_path, captured)
  path = tmp_path / "checkpoints/000000000" / run_context.NAME
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  with pytest.raises(errors.UserError, match=r"run_context\.json is"):
    run_context.read(path.parent)


def test_a_link_is_not_followed(tmp_path, captured):
  _start(tmp_path, captured)
  path = tmp_path / "checkpoints/000000000" / run_context.NAME
  path.rename(tmp_path / "elsewhere")
  path.symlink_to(tmp_path / "elsewhere")
  with pytest.raises(errors.UserError, match="link"):
    run_context.read(path.parent)


def test_importing_these_modules_imports_no_jax():
  program = (
    "import sys, carnet.launch, carnet.run_context, carnet.run_log\n"
    "print({'jax', 'flax', 'orbax', 'tensorstore'} & set(sys.modules))"
  )
  done = subprocess.run(
    [sys.executable, "-c", program], capture_output=True, text=True, check=True
  )
  assert done.stdout.strip() == "set()"
