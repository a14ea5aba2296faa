"""Digests of what packages put in a prefix, from Debian's conda-package-handling and conda's rules for prefixes.

    python3 trees.py CORPUS > trees.txt

It shares no code with the linker that TestCorpusTrees holds to it. What cannot be extracted, or lists files that it does not
have, is left out; so are entry points, which conda renders. A line is the package's path, the number of its paths in the prefix
/opt/conda of an environment with python 3.11, and the sha256 of the lines "PATH KIND MODE SHA256-OR-TARGET" that tell them.
"""

import hashlib
import json
import os
import re
import stat
import sys
import tempfile

from conda_package_handling import api

PREFIX = "/opt/conda"
ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
SHEBANG = re.compile(rb"^(#!(?:[ ]*)(/(?:\\ |[^ \n\r\t])*)(.*))$", re.M)


def text(data, placeholder):
    for encoding in ENCODINGS:
        data = data.replace(placeholder.encode(encoding), PREFIX.encode(encoding))
    match = SHEBANG.match(data)
    if match and len(match[1]) > 127:
        data = data.replace(match[1], b"#!/usr/bin/env " + match[2].split(b"/")[-1] + match[3])
    return data


def binary(data, placeholder):
    for encoding in ENCODINGS:
        old, new, nul = (s.encode(encoding) for s in (placeholder, PREFIX, "\0"))

        def replace(match):
            padding = b"\0" * (len(old) - len(new)) * match[0].count(old)
            return match[0].replace(old, new)[: -len(nul)] + padding + nul

        data = re.sub(re.escape(old) + b"(?:(?!" + re.escape(nul) + b").)*" + re.escape(nul), replace, data, flags=re.S)
    return data


def read(*path):
    try:
        with open(os.path.join(*path)) as f:
            return f.read()
    except FileNotFoundError:
        return None


def listed(root):
    """The files that a package says it has, with how their prefix is replaced."""
    paths = read(root, "info", "paths.json")
    if paths is not None:
        return {p["_path"]: (p.get("prefix_placeholder"), p.get("file_mode")) for p in json.loads(paths)["paths"]}
    out = {line.strip(): (None, None) for line in read(root, "info", "files").splitlines() if line.strip()}
    for line in (read(root, "info", "has_prefix") or "").splitlines():
        words = [w.strip("\"'") for w in line.split()]
        if len(words) == 1:
            out[words[0]] = ("/opt/anaconda1anaconda2anaconda3", "text")
        elif len(words) == 3:
            out[words[2]] = (words[0], words[1])
    return out


def place(path, noarch):
    if noarch == "python" and path.startswith("site-packages/"):
        return "lib/python3.11/" + path
    if noarch == "python" and path.startswith("python-scripts/"):
        return "bin/" + path[len("python-scripts/") :]
    return path


def tree(root):
    noarch = json.loads(read(root, "info", "index.json")).get("noarch")
    for path, (placeholder, mode) in listed(root).items():
        name = os.path.join(root, path)
        st = os.lstat(name)
        if stat.S_ISLNK(st.st_mode):
            yield f"{place(path, noarch)} symlink 777 {os.readlink(name)}"
            continue
        if stat.S_ISDIR(st.st_mode):
            yield f"{place(path, noarch)} directory 755 "
            continue
        with open(name, "rb") as f:
            data = f.read()
        if placeholder:
            data = (text if mode == "text" else binary)(data, placeholder)
        bits = 0o755 if st.st_mode & 0o100 else 0o644
        bits &= st.st_mode | 0o555
        yield f"{place(path, noarch)} file {bits:o} {hashlib.sha256(data).hexdigest()}"


def main(corpus):
    found = []
    for folder, _, names in os.walk(corpus):
        found += [os.path.join(folder, n) for n in names if n.endswith((".conda", ".tar.bz2")) and n != "repodata.tar.bz2"]
    for package in sorted(found):
        with tempfile.TemporaryDirectory() as root:
            try:
                api.extract(package, dest_dir=root)
                lines = sorted(tree(root))
            except Exception as e:  # whatever it is, there is no tree
                print(f"{os.path.relpath(package, corpus)}: {e}", file=sys.stderr)
                continue
        digest = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
        print(os.path.relpath(package, corpus), len(lines), digest)


if __name__ == "__main__":
    main(sys.argv[1])
