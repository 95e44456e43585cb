"""Follows the pages that set Pinyto up: runs their console blocks, each on its machine.

A machine is a copy of this one's file system (an overlay), with a network of its own between them.
Everything lives in namespaces and in memory, and is gone when this ends. A prompt says which
machine is meant (`db1#`), `servers#` and `every#` mean several. A line that begins with `> ` goes
on with the one before. Where the page shows output, what comes out has to look like it; `...` stands
for any lines.

What a machine of this kind can't have, stands in: systemd (see setup_systemctl.py), and scp. The
program is the one that was built before.

Exit code 3: this machine can't do that, for want of root or namespaces. If only programs are missing,
that is an error: they can be installed.
"""

import contextlib
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / "release" / "pinyto-server"
CANNOT = 3

PAGES = {
    "docs/setup-one-machine.md": {"server": "10.0.0.10", "laptop": "10.0.0.2"},
    "docs/setup-cluster.md": {
        "admin": "10.0.0.2",
        "balancer": "10.0.0.10",
        "one": "10.0.0.11",
        "two": "10.0.0.12",
        "three": "10.0.0.13",
        "db1": "10.0.0.21",
        "db2": "10.0.0.22",
    },
}
# Seconds for one command. Most take none.
PATIENCE = 60
SERVERS = ["one", "two", "three"]
PROMPT = re.compile(r"([a-z0-9]+)[#$] (.*)")


def steps(text):
    """All commands of a page: machine, command, expected output."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        begun = len(found)
        for line in block.splitlines():
            prompt = PROMPT.fullmatch(line)
            if prompt:
                found.append([prompt[1], prompt[2], []])
            elif len(found) == begun:
                sys.exit(f"a block begins without a prompt: {line}")
            elif line.startswith("> ") or line == ">":
                found[-1][1] += "\n" + line[2:]
            else:
                found[-1][2].append(line)
    return [(machine, command, "\n".join(output)) for machine, command, output in found]


def alike(text):
    """The text with everything that is different each time replaced by what it is."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+Z?", "<time>", text)
    text = re.sub(r"\b[0-9a-f]{10,64}\b", "<digits>", text)
    text = re.sub(r"\b0/[0-9A-F]+\b", "<position>", text)
    return "\n".join(line.rstrip() for line in text.splitlines())


def matches(expected, got):
    parts = re.split(r"(?m)^\.\.\.$", alike(expected))
    pattern = "(?s:.*)".join(re.escape(part) for part in parts)
    return re.fullmatch(pattern, alike(got)) is not None


class Machine:
    """A file system, a network address, and a shell on it."""

    def __init__(self, name, address, lab):
        self.name = name
        self.root = lab / name / "root"
        for part in ("root", "upper", "work"):
            (lab / name / part).mkdir(parents=True)
        layers = f"lowerdir=/,upperdir={lab}/{name}/upper,workdir={lab}/{name}/work"
        run("mount", "-t", "overlay", "-o", layers, "overlay", self.root)
        run("mount", "-t", "proc", "proc", self.root / "proc")
        for part, mode in (("dev", "755"), ("run", "755"), ("tmp", "1777"), ("dev/shm", "1777")):
            (self.root / part).mkdir(exist_ok=True)
            run("mount", "-t", "tmpfs", "-o", f"mode={mode}", "tmpfs", self.root / part)
        for device in ("null", "zero", "random", "urandom", "tty"):
            (self.root / "dev" / device).touch()
            run("mount", "--bind", f"/dev/{device}", self.root / "dev" / device)
        (self.root / "dev" / "fd").symlink_to("/proc/self/fd")

        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"to-{name}", "master", "switch", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        self.enter = ["ip", "netns", "exec", name, "chroot", str(self.root), "env", "-i"]
        self.enter += ["HOME=/root", "LANG=C.UTF-8", f"PATH={SEARCH}"]

        self.write("/etc/hosts", f"127.0.0.1 localhost\n{address} {name}\n")
        tool = (ROOT / ".ci" / "setup_systemctl.py").read_text()
        self.write("/usr/local/sbin/systemctl", f"#!{sys.executable}\n{tool}", 0o755)
        # Packages are on the machine that is copied.
        installed = '#!/bin/sh\nfor word; do case $word in -*|install) ;; *) dpkg -s "$word" >/dev/null || exit;; esac; done\n'
        self.write("/usr/local/sbin/apt-get", installed, 0o755)
        self.shell = subprocess.Popen(
            [*self.enter, "bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.do("cd; umask 022")
        self.prepare()

    def prepare(self):
        """What the pages take for granted: a checkout, and a fresh cluster of PostgreSQL's package."""
        folder = self.root / "root" / "pinyto"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(ROOT / "deploy", folder / "deploy")
        (folder / "target" / "release").mkdir(parents=True)
        shutil.copy(PROGRAM, folder / "target" / "release")
        if self.name.startswith("db"):
            self.do("rm -rf /etc/postgresql/* /var/lib/postgresql/*")
            self.do(f"pg_createcluster {postgresql()} main && systemctl start postgresql")

    def end(self):
        """So that the next page has the names and the network."""
        inside = subprocess.run(["ip", "netns", "pids", self.name], stdout=subprocess.PIPE, text=True)
        for process in inside.stdout.split():
            # Some end with the one that started them.
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        run("ip", "netns", "delete", self.name)

    def write(self, path, content, mode=0o644):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link to the copied machine's own file.
        file.unlink(missing_ok=True)
        file.write_text(content)
        file.chmod(mode)

    def do(self, command):
        """Exit code and output of a command in the machine's shell."""
        # Not from the shell's own input.
        self.shell.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n--done %d--\\n' $?\n")
        self.shell.stdin.flush()
        output = []
        for line in self.shell.stdout:
            done = re.fullmatch(r"--done (\d+)--\n", line)
            if done:
                return int(done[1]), "".join(output).rstrip("\n")
            output.append(line)
        sys.exit(f"the shell of {self.name} ended at: {command}")

    def pipe(self, command, **given):
        """A command beside the shell."""
        return subprocess.run([*self.enter, "sh", "-c", command], check=True, **given)


def postgresql():
    """The version of this machine's PostgreSQL."""
    return max(os.listdir("/usr/lib/postgresql"), key=int)


SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


def copy(machines, here, command):
    """What scp does, without a login."""
    def place(word):
        name, colon, path = word.rpartition(":")
        _, folder = (0, "/root") if colon else here.do("pwd")
        # Not joined by pathlib, which drops the last slash.
        return (machines[name] if colon else here), os.path.join(folder, path)

    *sources, target = [place(word) for word in shlex.split(command)[1:]]
    for machine, path in sources:
        source = shlex.quote(path)
        content = machine.pipe(f"cat {source}", stdout=subprocess.PIPE).stdout
        mode = machine.pipe(f"stat -c %a {source}", stdout=subprocess.PIPE, text=True).stdout.strip()
        there, to = target
        to = shlex.quote(to + os.path.basename(path) if to.endswith("/") else to)
        there.pipe(f"cat > {to} && chmod {mode} {to}", input=content)


def follow(page, machines):
    # What Debian 12 has.
    text = re.sub(r"\b15([/ -]main)", postgresql() + r"\1", (ROOT / page).read_text())
    todo = steps(text)
    if len(todo) < 10:
        sys.exit(f"the console blocks of {page} were not found")
    for name, command, expected in todo:
        names = {"every": list(machines), "servers": SERVERS}.get(name, [name])
        for name in names:
            here = machines[name]
            begun = time.monotonic()
            print(f"{name}# {command}", flush=True)
            if command.startswith("cargo build "):
                continue
            if command.startswith("scp "):
                copy(machines, here, command)
                continue
            signal.alarm(PATIENCE)
            code, got = here.do(command)
            signal.alarm(0)
            print(got, f"({time.monotonic() - begun:.1f} s)", flush=True)
            if code != 0:
                sys.exit(f"{page}: {name}# {command}\nended with {code}")
            if expected and not matches(expected, got):
                sys.exit(f"{page}: {name}# {command}\nexpected: {expected}\ngot:      {got}")
    print(f"{page}: {len(todo)} commands gave what it shows")


def inside():
    """In namespaces of our own, as their first process."""
    def give_up(*_):
        sys.exit("that takes too long")

    signal.signal(signal.SIGALRM, give_up)
    # Nothing has to be removed: it goes with the namespaces.
    lab = pathlib.Path("/mnt")
    run("mount", "-t", "tmpfs", "tmpfs", lab)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "switch", "type", "bridge")
    run("ip", "link", "set", "switch", "up")
    for page, addresses in PAGES.items():
        if sys.argv[2:] and page not in sys.argv[2:]:
            continue
        machines = {}
        for name, address in addresses.items():
            machines[name] = Machine(name, address, lab / pathlib.Path(page).stem)
        follow(page, machines)
        for machine in machines.values():
            machine.end()


def outside():
    needed = ["unshare", "ip", "haproxy", "pg_createcluster", "openssl", "curl", "socat", "setpriv"]
    if os.geteuid() != 0:
        print("the setups can't be tried here, for want of root")
        sys.exit(CANNOT)
    lacking = [tool for tool in needed if not shutil.which(tool)]
    if lacking:
        sys.exit("to try the setups, install " + ", ".join(lacking))
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*namespaces, "true"]).returncode != 0:
        print("the setups can't be tried here, for want of namespaces")
        sys.exit(CANNOT)
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there: build it first")
    sys.exit(subprocess.run([*namespaces, sys.executable, __file__, "inside", *sys.argv[1:]]).returncode)


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        inside()
    else:
        outside()
