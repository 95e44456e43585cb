"""Follows pages: runs their console blocks against a server as they tell to start it, and compares.

A page shows what once came out. What is different each time (times, hashes, identifiers) only has to
look alike.
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

# Each with the arguments of its server, and how many commands it has at least.
PAGES = [
    ("README.md", [], 5),
    ("docs/gpgauth.md", ["--gpgauth-key", "openpgp.asc"], 20),
]


def console_blocks(text):
    """All commands of a page with their expected output, in order."""
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


def follow(page, arguments, least):
    steps = console_blocks((ROOT / page).read_text())
    if len(steps) < least:
        sys.exit(f"the console blocks of {page} were not found")
    with tempfile.TemporaryDirectory() as folder:
        # GnuPG's keys are the page's only.
        gnupg = pathlib.Path(folder) / "gnupg"
        gnupg.mkdir(mode=0o700)
        environment = os.environ | {"GNUPGHOME": str(gnupg)}
        server = subprocess.Popen([TARGET / "release" / "pinyto-server", *arguments], cwd=folder)
        try:
            wait_for_server(server)
            shell = subprocess.Popen(
                ["bash"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for command, expected in steps:
                got = run(shell, command)
                if alike(got) != alike(expected):
                    sys.exit(f"{page}: $ {command}\nexpected: {expected}\ngot:      {got}")
                print(f"$ {command}\n{got}")
            shell.stdin.close()
            shell.wait()
        finally:
            if any(gnupg.iterdir()):
                subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
            server.terminate()
            if server.wait(timeout=30) != 0:
                sys.exit("the server didn't end well")
    print(f"the {len(steps)} commands of {page} gave what it shows")


def main():
    for page in PAGES:
        follow(*page)


main()
