"""No fresh Python looks for modules in a checkpoint."""

import pytest

from carnet import errors, foreign_config, search_path


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
  monkeypatch.delenv("PYTHONPATH", raising=False)
  place = tmp_path / "project/ckpt"
  (place / "params").mkdir(parents=True)
  monkeypatch.chdir(place.parent)
  return place


def test_the_current_directory_is_looked_into_for_the_callers_module_alone(
  checkpoint,
):
  assert search_path.options(checkpoint, True) == ()
  assert search_path.options(checkpoint, False) == ("-P",)


@pytest.mark.parametrize("name", ["ckpt", "ckpt/params", "link"])
def test_never_within_the_checkpoint(checkpoint, monkeypatch, name):
  (checkpoint.parent / "link").symlink_to(checkpoint)
  monkeypatch.chdir(checkpoint.parent / name)
  assert search_path.options(checkpoint, False) == ("-P",)
  with pytest.raises(errors.UserError, match="lies in the checkpoint") as told:
    search_path.options(checkpoint, True)
  assert "\n" not in str(told.value)


@pytest.mark.parametrize("named", [True, False])
def test_nor_through_the_environment(checkpoint, monkeypatch, named):
  monkeypatch.setenv("PYTHONPATH", f":{checkpoint.parent}:elsewhere")
  search_path.options(checkpoint, named)
  monkeypatch.setenv("PYTHONPATH", "elsewhere:ckpt/params")
  with pytest.raises(errors.UserError, match="PYTHONPATH has 'ckpt/params'"):
    search_path.options(checkpoint, named)
  monkeypatch.setenv("PYTHONPATH", f"{checkpoint.parent}:")
  monkeypatch.chdir(checkpoint)  # which an empty entry stands for
  with pytest.raises(errors.UserError, match="PYTHONPATH has ''"):
    search_path.options(checkpoint, False)


def test_nor_for_a_configuration(checkpoint, monkeypatch):
  (checkpoint / "evil.py").write_text("open('ran', 'w')\n")
  request = foreign_config.Request(entry="evil:config")
  monkeypatch.chdir(checkpoint)
  with pytest.raises(errors.UserError, match="lies in the checkpoint"):
    foreign_config.dump(checkpoint, request)
  assert not (checkpoint / "ran").exists()
