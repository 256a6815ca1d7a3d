"""Run one command from cold: `python -m bench.cold FOLDER COMMAND ...` prints one line of JSON.

Seconds from start to end, peak memory, the cores that others kept busy, and what it printed. This
is a small process of its own, because the system starts the peak of a command at the size of the
process that started it.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.disturbance import Disturbance


def main(folder: str, command: list[str]) -> None:
    """Run `command` in `folder`; fail as it fails."""
    output, errors = Path(folder, "output"), Path(folder, "errors")
    with output.open("wb") as out, errors.open("wb") as err:
        disturbance, started = Disturbance(), time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        others = disturbance.cores(usage.ru_utime + usage.ru_stime)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        lines = errors.read_text(errors="replace").strip().splitlines()
        sys.exit(lines[-1] if lines else f"exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    found = {
        "seconds": seconds,
        "peak_bytes": usage.ru_maxrss * unit,
        "disturbance": others,
        "printed": output.read_text().strip(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
