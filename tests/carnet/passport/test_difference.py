"""Where two JSON values differ."""

import pytest

from carnet.passport import difference


@pytest.mark.parametrize(
  ("one", "other", "wheres"),
  [
    ({"a": 1}, {"a": 1.0}, []),
    ({"a": 1}, {"a": True}, ["/a"]),
    ({"a": 0}, {"a": None}, ["/a"]),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, ["/a/b/1"]),
    ([1, 2, 3], [1], ["/1", "/2"]),
    ({"a": 1}, {"b": 1}, ["/a", "/b"]),
    ({"images/top": 1}, {"images/top": 2}, ["/images~1top"]),
    ({"a": [1]}, {"a": {"0": 1}}, ["/a"]),
    (1, 2, [""]),
  ],
)
def test_every_leaf_is_named(one, other, wheres):
  assert [row.where for row in difference.differences(one, other)] == wheres


def test_one_line_says_what_is_and_what_should_be():
  rows = difference.differences({"a": 1, "c": "x" * 500}, {"a": 2})
  text = difference.summary(rows)
  assert text.startswith("/a is 2, expected 1; /c is nothing, expected ")
  assert len(text) < 250
  many = difference.differences(list(range(99)), [])
  assert difference.summary(many).endswith("and 49 more")
