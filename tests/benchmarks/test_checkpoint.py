"""The checkpoint benchmark runs, and reads only what it asks for."""

import json
import pathlib
import subprocess
import sys

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks/checkpoint.py"


def test_every_figure_is_there_and_a_part_reads_a_part():
  options = ["--gib=0.02", "--replay_gib=0.02", "--repeats=1"]
  done = subprocess.run(
    [sys.executable, SCRIPT, *options], capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  rows = [json.loads(line) for line in done.stdout.splitlines()]
  found = {(row["program"], row["figure"]): row for row in rows}
  saving = ["save", "save_blocking", "save_next_step", "restore"]
  for program in ("carnet", "orbax"):
    for figure in [*saving, "restore_2_arrays"]:
      assert found[program, figure]["wall_s"] > -1, (program, figure)
    assert found[program, "process"]["peak_gib"] > 0.1
  size_mib = 0.02 * 1024
  whole = found["carnet", "restore"]["read_mib"]
  part = found["carnet", "restore_2_arrays"]["read_mib"]
  assert size_mib < whole < 1.1 * size_mib
  assert part < 0.1 * whole
  assert ("carnet", "verify") in found
  assert {"save_all", "save_1_percent_new", "restore"} <= {
    figure for program, figure in found if program == "replay"
  }
