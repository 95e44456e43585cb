"""Stands in for systemctl where no systemd runs: does of it what the setup pages need.

Of our own units it reads what matters for how the program runs: user, state, privileges, command.
"""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

UNITS = pathlib.Path("/etc/systemd/system")
STATE = pathlib.Path("/run/stand-in")
HAPROXY = ["haproxy", "-W", "-f", "/etc/haproxy/haproxy.cfg"]


class Ours:
    """A service that one of our units describes."""

    def __init__(self, name):
        self.name = name
        self.pid_file = STATE / f"{name}.pid"
        text = (UNITS / f"{name}.service").read_text().replace("\\\n", " ")
        self.settings = {}
        for key, value in re.findall(r"(?m)^(\w+)=(.*)$", text):
            self.settings.setdefault(key, value.replace("%%", "%"))

    def command(self):
        user = self.settings["User"]
        for state in self.settings["StateDirectory"].split():
            mode = self.settings["StateDirectoryMode"]
            subprocess.run(["install", "-d", "-o", user, "-g", user, "-m", mode, f"/var/lib/{state}"], check=True)
        capability = self.settings.get("AmbientCapabilities", "").lower().removeprefix("cap_")
        command = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs"]
        if capability:
            command += ["--inh-caps", f"-all,+{capability}", "--ambient-caps", f"-all,+{capability}"]
            command += ["--bounding-set", f"-all,+{capability}"]
        else:
            command += ["--inh-caps", "-all", "--bounding-set", "-all"]
        return command + shlex.split(self.settings["ExecStart"])

    def begin(self):
        if self.settings["Type"] == "oneshot":
            subprocess.run(self.command(), cwd=self.settings["WorkingDirectory"], check=True)
            return
        log = open(f"/var/log/{self.name}.log", "ab")
        process = subprocess.Popen(
            self.command(),
            cwd=self.settings["WorkingDirectory"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.pid_file.write_text(str(process.pid))

    def start(self):
        self.begin()

    def stop(self):
        end(self.pid_file, int(self.settings["TimeoutStopSec"]))

    def restart(self):
        self.stop()
        self.begin()

    def reload(self):
        os.kill(int(self.pid_file.read_text()), signal.SIGHUP)

    def kill(self):
        """As if the machine were gone."""
        os.kill(int(self.pid_file.read_text()), signal.SIGKILL)


class Haproxy:
    pid_file = STATE / "haproxy.pid"

    def start(self):
        subprocess.run([*HAPROXY, "-c", "-q"], check=True)
        pathlib.Path("/run/haproxy").mkdir(exist_ok=True)
        log = open("/var/log/haproxy.log", "ab")
        process = subprocess.Popen(
            HAPROXY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        self.pid_file.write_text(str(process.pid))
        while not pathlib.Path("/run/haproxy/admin.sock").exists():
            if process.poll() is not None:
                sys.exit(pathlib.Path("/var/log/haproxy.log").read_text())
            time.sleep(0.02)

    def stop(self):
        end(self.pid_file, 10)

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        os.kill(int(self.pid_file.read_text()), signal.SIGUSR2)


class Postgresql:
    def kill(self):
        data = next(pathlib.Path("/var/lib/postgresql").glob("*/main"))
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    def __getattr__(self, action):
        def ask():
            version = next(pathlib.Path("/etc/postgresql").iterdir()).name
            mode = ["-m", "fast"] if action in ("stop", "restart") else []
            subprocess.run(["pg_ctlcluster", "--skip-systemctl-redirect", *mode, version, "main", action], check=True)

        return ask


def end(pid_file, seconds):
    """SIGTERM, and in the end SIGKILL."""
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text())
    pid_file.unlink()
    deadline = time.monotonic() + seconds
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            # Whoever started it is gone, so nobody but the first process waits for it.
            if "State:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text():
                return
            time.sleep(0.02)
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return


def service(name):
    name = name.removesuffix(".service").split("@")[0]
    known = {"haproxy": Haproxy, "postgresql": Postgresql}
    return known[name]() if name in known else Ours(name)


def main():
    STATE.mkdir(parents=True, exist_ok=True)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    action, names = words[0], words[1:]
    if action == "enable":
        action = "start" if "--now" in sys.argv else None
    if action in (None, "daemon-reload"):
        return
    if action == "try-reload-or-restart":
        action, names = "reload", [name for name in names if Ours(name).pid_file.exists()]
    for name in names:
        # A timer would only start its service at night.
        if not name.endswith(".timer"):
            getattr(service(name), action)()


main()
