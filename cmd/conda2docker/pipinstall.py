"""Installs wheels with pip, without a network, and leaves nothing of it that would differ the next time, or that the wheels'
coming from a folder has brought about.

usage: install.py PLAN REQUIREMENTS FOLDER [PIP-OPTION...]

PLAN is JSON: normalised name -> {"implied": bool, "direct_url": object or null}.
"""

import csv
import json
import os
import re
import subprocess
import sys
import sysconfig


def patch(path):
    """Makes a compiled file one that is taken as it is (PEP 552): the root may be read-only, and sources are not compared."""
    with open(path, "r+b") as f:
        if int.from_bytes(f.read(16)[4:8], "little") == 3:
            f.seek(4)
            f.write((1).to_bytes(4, "little"))


def settle(info, plan):
    """Completes one installed distribution; info is the folder of its metadata."""
    site, record = os.path.dirname(info), os.path.join(info, "RECORD")
    with open(record, newline="", encoding="utf-8") as f:
        rows = [tuple(row) for row in csv.reader(f) if row]
    for row in rows:
        path = os.path.join(site, row[0])
        if path.endswith(".pyc") and os.path.isfile(path):
            patch(path)
    before = list(rows)

    def entry(name):
        return os.path.basename(info) + "/" + name

    if plan["implied"] and os.path.exists(os.path.join(info, "REQUESTED")):
        os.remove(os.path.join(info, "REQUESTED"))
        rows = [row for row in rows if row[0] != entry("REQUESTED")]
    if plan["direct_url"]:
        with open(os.path.join(info, "direct_url.json"), "w", encoding="utf-8") as f:
            json.dump(plan["direct_url"], f, sort_keys=True)
        rows.append((entry("direct_url.json"), "", ""))
    if rows != before:
        with open(record, "w", newline="", encoding="utf-8") as f:
            csv.writer(f, lineterminator="\n").writerows(sorted(rows))


def main(plan, requirements, folder, options):
    command = [sys.executable, "-m", "pip", "install", "--isolated", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--no-index", "--no-deps"]
    command += ["--no-warn-script-location", "-U", "--exists-action=b", "--find-links", folder, "-r", requirements]
    status = subprocess.call(command + options)
    if status:
        sys.exit(status)
    with open(plan, encoding="utf-8") as f:
        plan = json.load(f)
    for site in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        for name in sorted(os.listdir(site)):
            distribution = re.sub("[-_.]+", "-", name.split("-")[0]).lower()
            if name.endswith(".dist-info") and distribution in plan:
                settle(os.path.join(site, name), plan[distribution])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:])
