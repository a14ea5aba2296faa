"""Looks whether an environment is whole, from inside: every ELF file finds its libraries, every module can be imported.

Arguments: the prefix, the dynamic loader, a file that names a module a line, and the file for what is found: "count KIND NUMBER" lines, and
for each failure "KIND NAME" with what was said on the next lines, after tabs. It ends with 1 only where it could not finish. Python 3.5 will do.
"""
import concurrent.futures
import os
import select
import signal
import struct
import subprocess
import sys
import time
import traceback

LIMIT = 180  # seconds for one module


def machine(path):
    """The kind of machine that an ELF file which is dynamically linked is for, else None."""
    with open(path, "rb") as f:
        head = f.read(64)
        if len(head) < 64 or head[:4] != b"\x7fELF" or head[4] != 2 or head[5] != 1:
            return None
        kind, machine = struct.unpack_from("<HH", head, 16)
        start, = struct.unpack_from("<Q", head, 32)
        size, number = struct.unpack_from("<HH", head, 54)
        f.seek(start)
        table = f.read(size * number)
    for at in range(0, len(table) - 55, size or 56):
        segment, = struct.unpack_from("<I", table, at)
        length, = struct.unpack_from("<Q", table, at + 32)
        if segment == 2 and length > 0 and kind in (2, 3):
            return machine
    return None


def elf_files(prefix):
    ours = machine(os.path.realpath(sys.executable))
    for folder, folders, files in os.walk(prefix):
        if "sysroot" in folders:
            folders.remove("sysroot")  # of another system
        for name in files:
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            try:
                found = machine(path)
            except PermissionError as e:
                yield path, str(e)
                continue
            if found is not None and found == ours:
                yield path, None


def libraries(loader, path):
    """What the loader complains of when it is asked as ldd asks it: nothing of the file is run."""
    asked = dict(os.environ, LD_TRACE_LOADED_OBJECTS="1")
    run = subprocess.Popen([loader, path], env=asked, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = run.communicate()[0].decode("utf-8", "replace").splitlines()
    lines = [line.strip() for line in said if "not found" in line]
    if run.returncode != 0 and not lines:
        lines = [line.strip() for line in said[-1:]] or ["the loader ended with %d" % run.returncode]
    return lines


def start(name):
    """Begins to import a module, in a child; returns its process and where it says what went wrong."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    code = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        try:
            __import__(name)
            code = 0
        except BaseException as e:
            text = "".join(traceback.format_exception_only(type(e), e)).strip().splitlines() or [repr(e)]
            os.write(write, text[-1].encode("utf-8", "replace")[:4000])
    finally:
        os._exit(code)


def finish(child, read):
    said = b""
    while True:
        part = os.read(read, 4096)
        if not part:
            break
        said += part
    os.close(read)
    status = os.waitpid(child, 0)[1]
    if status == 0:
        return []
    if os.WIFSIGNALED(status):
        return ["killed by signal %d" % os.WTERMSIG(status)]
    return [said.decode("utf-8", "replace") or "ended with %d" % os.WEXITSTATUS(status)]


def imports(names, report):
    waiting, running = list(reversed(names)), {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            name = waiting.pop()
            child, read = start(name)
            running[read] = (name, child, time.monotonic() + LIMIT)
        first = min(end for _, _, end in running.values())
        ready = select.select(list(running), [], [], max(0, first - time.monotonic()))[0]
        for read in ready:
            name, child, _ = running.pop(read)
            report(name, finish(child, read))
        for read, (name, child, end) in list(running.items()):
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                sys.exit("module %s: its import did not end within %d s" % (name, LIMIT))


def main(prefix, loader, modules, out):
    sys.path.pop(0)  # this file's folder
    with open(modules) as f:
        names = f.read().split()
    found = []
    files = list(elf_files(prefix))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        checked = pool.map(lambda f: [f[1]] if f[1] else libraries(loader, f[0]), files)
        found += [("elf " + f[0], lines) for f, lines in zip(files, checked) if lines]
    imports(names, lambda name, lines: lines and found.append(("module " + name, lines)))
    with open(out, "w", encoding="utf-8", errors="surrogateescape") as f:
        f.write("count elf %d\ncount module %d\n" % (len(files), len(names)))
        for what, lines in sorted(found):
            f.write(what + "\n" + "".join("\t" + line + "\n" for line in lines))


main(*sys.argv[1:])
