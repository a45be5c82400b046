import json

import pytest

from act import config as act_config
from carnet import config, errors


def test_json_round_trip_keeps_types_and_tuples():
  before = act_config.default_config()
  with before.unlocked():
    before.model.backbone_widths = (8, 16)
  text = json.dumps(config.to_json(before))
  after = config.from_json(json.loads(text), act_config.default_config())
  assert after == before
  assert isinstance(after.model.backbone_widths, tuple)
  assert after.is_locked


def test_unknown_key_names_the_nearest():
  with pytest.raises(errors.UserError, match="did you mean 'width'"):
    config.from_json({"model": {"widht": 3}}, act_config.default_config())


@pytest.mark.parametrize("value", ["wide", 1.5, None])
def test_wrong_type_names_the_key(value):
  with pytest.raises(errors.UserError, match=r"config\.model"):
    config.from_json({"model": {"width": value}}, act_config.default_config())


def test_changed_lists_dotted_keys():
  before = {"a": {"b": 1, "c": 2}, "d": 3}
  after = {"a": {"b": 1, "c": 4}, "e": 3}
  assert config.changed(before, after) == ["a.c", "d", "e"]
