"""Follows the README: runs its console blocks against the server it tells to start, and compares.

The README shows what once came out. What is different each time (times, hashes, identifiers) only
has to look alike.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
URL = "http://127.0.0.1:8080"


def console_blocks(text):
    """All commands of the README with their expected output, in order."""
    steps = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in steps]


def alike(text):
    """The text with everything that is different each time replaced by what it is."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    # Before the digits: a sum of fractions may have many.
    text = re.sub(r'"(storage_budget)":[\d.e-]+', r'"\1":<number>', text)
    return re.sub(r"\b[0-9a-f]{10,64}\b", lambda found: f"<{len(found[0])} digits>", text)


def wait_for_server(server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            urllib.request.urlopen(URL + "/healthz", timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the server doesn't answer")


def run(shell, command):
    shell.stdin.write(command + "\nprintf '\\n--done--\\n'\n")
    shell.stdin.flush()
    output = []
    for line in shell.stdout:
        if line.rstrip("\n") == "--done--":
            return "\n".join(output).rstrip("\n")
        output.append(line.rstrip("\n"))
    sys.exit(f"the shell ended at: {command}")


def main():
    steps = console_blocks((ROOT / "README.md").read_text())
    if len(steps) < 5:
        sys.exit("the README's console blocks were not found")
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([TARGET / "release" / "pinyto-server"], cwd=folder)
        try:
            wait_for_server(server)
            shell = subprocess.Popen(
                ["bash"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for command, expected in steps:
                got = run(shell, command)
                if alike(got) != alike(expected):
                    sys.exit(f"$ {command}\nexpected: {expected}\ngot:      {got}")
                print(f"$ {command}\n{got}")
            shell.stdin.close()
            shell.wait()
        finally:
            server.terminate()
            if server.wait(timeout=30) != 0:
                sys.exit("the server didn't end well")
    print(f"the README's {len(steps)} commands gave what it shows")


main()
