#!/opt/venv/bin/python -I
"""Takes files out of what was just installed, and out of the lists of what each package installed.

usage: trim.py SITE <LIST, with one file a line, relative to SITE, the folder of the packages
"""

import csv
import sys
from pathlib import Path


def main(site: Path, trimmed: frozenset[str]) -> None:
    """Remove the files, their lines of each RECORD, and the folders that are empty then."""
    for name in trimmed:
        file = site / name
        file.unlink()
        for folder in file.parents:
            if folder == site or any(folder.iterdir()):
                break
            folder.rmdir()
    for record in site.glob("*.dist-info/RECORD"):
        rows = list(csv.reader(record.read_text(encoding="utf-8").splitlines()))
        kept = [row for row in rows if row and row[0] not in trimmed]
        if len(kept) < len(rows):
            with record.open("w", encoding="utf-8", newline="") as lines:
                csv.writer(lines, lineterminator="\n").writerows(kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]), frozenset(sys.stdin.read().splitlines()))
