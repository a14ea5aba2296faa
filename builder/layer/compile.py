# compile.py SOURCES FOLDER compiles python files, for their bytes to be kept.
#
# SOURCES holds files one behind the other: a line of six numbers, the path in the image, the content. FOLDER gets a file for
# each chunk: a line with the file's number and the size of what it was compiled to, -1 where it does not compile, and that.
#
# What marshal writes depends on who else holds a string or a number. So each chunk is compiled by a child of its own of this
# process, which has done the same at every fork, and without the garbage collector. It must stay fit for python 2.7.
import gc
import marshal
import os
import struct
import sys

if sys.version_info[0] > 2:
    from importlib.util import MAGIC_NUMBER as magic
else:
    from imp import get_magic
    magic = get_magic()
if sys.version_info >= (3, 7):
    from importlib.util import source_hash


def next_header(f):
    """Number, chunk, mtime, length of the path, size; None at the end."""
    line = f.readline()
    return [int(n) for n in line.split()] if line else None


def pyc_header(source, mtime):
    """PEP 552's for files that are never checked against their source; before that, the source's time and size are all there is."""
    if sys.version_info >= (3, 7):
        return magic + struct.pack("<I", 1) + source_hash(source)
    if sys.version_info[0] > 2:
        return magic + struct.pack("<II", mtime & 0xFFFFFFFF, len(source) & 0xFFFFFFFF)
    return magic + struct.pack("<I", mtime & 0xFFFFFFFF)


def ordered(value):
    """Whether sets among a code's constants have an order: before 3.11 it is that of hashes, and some of those are addresses."""
    if isinstance(value, frozenset):
        return all(type(v) in (str, bytes, int, float, complex, bool) or type(v) is tuple and ordered(frozenset(v)) for v in value)
    if isinstance(value, tuple):
        return all(ordered(v) for v in value)
    return not hasattr(value, "co_consts") or ordered(value.co_consts)


def compiled(source, path, mtime):
    """The bytes of a .pyc, or None."""
    try:
        code = compile(source, path, "exec", 0, True)
        body = marshal.dumps(code)
    except Exception:  # there is no end to what a file can be wrong in
        return None
    if sys.version_info < (3, 11) and not ordered(code):
        return None
    return pyc_header(source, mtime) + body


def compile_chunk(sources, offset, folder):
    with open(sources, "rb") as f:
        f.seek(offset)
        header = next_header(f)
        chunk = header[1]
        with open(os.path.join(folder, "%08d" % chunk), "wb") as out:
            while header and header[1] == chunk:
                path = f.read(header[3])
                if sys.version_info[0] > 2:
                    path = path.decode("utf-8")
                pyc = compiled(f.read(header[4]), path, header[2])
                out.write(("%d %d\n" % (header[0], -1 if pyc is None else len(pyc))).encode("ascii"))
                out.write(pyc or b"")
                header = next_header(f)


def offsets(sources):
    """Where the chunks begin."""
    found = []
    last = -1
    with open(sources, "rb") as f:
        at = 0
        header = next_header(f)
        while header:
            if header[1] != last:
                found.append(at)
                last = header[1]
            f.seek(header[3] + header[4], 1)
            at = f.tell()
            header = next_header(f)
    return found


def start(sources, offset, folder):
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        compile_chunk(sources, offset, folder)
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def first_path(sources, offset):
    with open(sources, "rb") as f:
        f.seek(offset)
        return f.read(next_header(f)[3]).decode("utf-8")


def main(sources, folder):
    gc.disable()
    if hasattr(os, "sched_getaffinity"):
        most = len(os.sched_getaffinity(0))
    else:
        most = os.sysconf("SC_NPROCESSORS_ONLN")
    waiting = offsets(sources)
    running = {}
    while waiting or running:
        if waiting and len(running) < most:
            offset = waiting.pop(0)
            running[start(sources, offset, folder)] = offset
            continue
        pid, status = os.wait()
        offset = running.pop(pid)
        if status != 0:
            sys.exit("compiling %s or one of the files after it: python ended with status %d" % (first_path(sources, offset), status))


if __name__ == "__main__":
    main(*sys.argv[1:])
