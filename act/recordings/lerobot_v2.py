"""Metadata of LeRobotDataset v2.0 and v2.1: JSON lines, a file an episode."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from act.recordings import inside, lerobot_episode, lerobot_info
from carnet import errors

EPISODES = "meta/episodes.jsonl"
TASKS = "meta/tasks.jsonl"
EPISODES_STATISTICS = "meta/episodes_stats.jsonl"


def episodes(
  info: lerobot_info.Info,
  cameras: Iterable[str],
  count: int,
  ledger: lerobot_episode.Ledger,
) -> list[lerobot_episode.Episode]:
  """Returns the first `count` episodes, less what the ledger left out."""
  where = f"{info.root / EPISODES}"
  rows: dict[int, dict[str, Any]] = {}
  for row in inside.read_json_lines(info.root, EPISODES):
    number = row.get("episode_index")
    if type(number) is not int or not 0 <= number < 1 << 31:
      raise errors.UserError(f"{where}: episode_index {repr(number)[:40]}")
    if number in rows:
      raise errors.UserError(f"{where}: episode {number} is listed twice")
    rows[number] = row
  if len(rows) != info.total_episodes:
    raise info.fault(
      f"total_episodes is {info.total_episodes}, {EPISODES} lists {len(rows)}"
    )
  out = []
  for number in sorted(rows)[:count]:
    length, told = rows[number].get("length"), rows[number].get("tasks")
    if type(length) is not int or not 1 < length <= info.total_frames:
      ledger.add(number, f"{where}: {unfit_length(length)}")
      continue
    fields = {
      "episode_chunk": number // info.chunks_size,
      "episode_index": number,
    }
    out.append(
      lerobot_episode.Episode(
        number=number,
        length=length,
        tasks=tuple(map(str, told)) if isinstance(told, list) else (),
        data=info.place(info.data_path, **fields),
        clips={
          name: lerobot_episode.Clip(
            info.place(info.video_path, video_key=name, **fields), 0
          )
          for name in cameras
          if info.cameras[name].kind == "video"
        },
      )
    )
  return out


def unfit_length(length: Any) -> str:
  """Returns what is wrong with the length of an episode."""
  if type(length) is int and length == 1:
    return "one frame, which no action follows"
  return f"a length of {repr(length)[:40]}"


def tasks(info: lerobot_info.Info) -> dict[int, str]:
  """Returns the text of each task, by its index."""
  if not inside.is_there(info.root, TASKS):
    return {}
  out = {}
  for row in inside.read_json_lines(info.root, TASKS):
    index, text = row.get("task_index"), row.get("task")
    if type(index) is not int or not isinstance(text, str):
      raise errors.UserError(
        f"{info.root / TASKS}: {repr(row)[:60]} is no task"
      )
    out[index] = text
  return out


def statistics(
  info: lerobot_info.Info, numbers: Sequence[int]
) -> list[Mapping[str, Any]]:
  """Returns what v2.1 stores of each of these episodes: feature -> name."""
  used = set(numbers)
  return [
    row["stats"]
    for row in inside.read_json_lines(info.root, EPISODES_STATISTICS)
    if row.get("episode_index") in used and isinstance(row.get("stats"), dict)
  ]
