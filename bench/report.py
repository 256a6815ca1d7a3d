"""docs/performance.md, made from the JSON files and the hand-written `performance.md.in`.

A line ``<!-- insert: SUITE -->`` of that template becomes the suite's tables and pictures;
``<!-- insert: SUITE-cuda -->`` those of the suite on a CUDA device.
"""

import re
from importlib import import_module
from pathlib import Path

from bench.result import read

TEMPLATE = Path(__file__).parent / "performance.md.in"
MARK = re.compile(r"^<!-- insert: ([\w-]+) -->$", re.MULTILINE)


def write(results: Path, page: Path, pictures: Path) -> None:
    """Write `page` from the JSON files in `results`; its pictures go to `pictures`, beside it.

    Raises `FileNotFoundError` where there is no template.
    """

    def section(match: re.Match[str]) -> str:
        suite, _, device = match[1].partition("-")
        found = read(results, match[1])
        if found is None:
            how = f"`python -m bench {suite}{f' --device {device}' if device else ''}`"
            return f"Not yet measured{' on CUDA' if device else ''}; {how} does it."
        module = import_module(f"bench.suites.{suite}")
        images = "\n".join(
            f"![{name.removesuffix('.png')}]({pictures.name}/{name})"
            for name in module.draw(found, pictures)
        )
        return f"{module.tables(found)}\n{images}".rstrip()

    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(MARK.sub(section, TEMPLATE.read_text()))
