"""Follows pages: runs their console blocks against a server as they tell to start it, and compares.

A page shows what once came out. What is different each time (times, hashes, identifiers) only has to
look alike. A line that begins with `> ` goes on with the command before. Names of pages as arguments:
only these.
"""

import dataclasses
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


@dataclasses.dataclass
class Page:
    """How a page is followed."""

    # The block that starts its server; pages without one take the README's for granted.
    start: str = "cargo serve"
    # How many commands it has at least.
    least: int = 5
    # What it takes for granted.
    before: tuple = ()


# The account of the README, with a session.
ADA = (
    """curl -sf localhost:8080/keyserver/register -d '{"username": "ada", "password": "correct horse"}'""",
    """TOKEN=$(curl -sf localhost:8080/keyserver/authenticate -d '{"username": "ada", "password": "correct horse"}' | cut -d'"' -f4)""",
)
# Another key of hers, of a device.
DEVICE = (
    "openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:4096 -out device.pem",
    """N=$(openssl rsa -in device.pem -noout -modulus | cut -d= -f2 | python3 -c 'print(int(input(), 16))')""",
    r'''curl -sf localhost:8080/register_new_key -d "{\"token\": \"$TOKEN\", \"public_key\": {\"N\": \"$N\", \"e\": 65537}}"''',
)
PAGES = {
    "README.md": Page(),
    "docs/getting-started.md": Page(least=20),
    "docs/gpgauth.md": Page(start="pinyto-server --gpgauth-key openpgp.asc", least=20),
    "docs/operations.md": Page(
        start="cargo build --release --ignore-rust-version\ntarget/release/pinyto-server", before=ADA + DEVICE
    ),
    "docs/protocol.md": Page(least=3, before=ADA),
    "docs/migration.md": Page(before=ADA),
    "docs/resource-servers.md": Page(least=1, before=ADA),
}


def arguments(start):
    """Of the server in the last line of the block that starts it."""
    program, *rest = start.splitlines()[-1].split()
    if (program, rest) == ("cargo", ["serve"]):
        # The alias: `cargo run` of the program that has been built, and no arguments.
        return []
    if pathlib.Path(program).name != "pinyto-server":
        sys.exit(f"that starts no server: {start}")
    return rest


def console_blocks(text):
    """All commands of a page with their expected output, in order."""
    steps = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        begun = len(steps)
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append([line[2:], []])
            elif len(steps) == begun:
                sys.exit(f"a block begins without a command: {line}")
            elif line.startswith("> ") or line == ">":
                steps[-1][0] += "\n" + line[2:]
            else:
                steps[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in steps]


def alike(text):
    """The text with everything that is different each time replaced by what it is."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
    # Before the digits: a sum of fractions may have many.
    text = re.sub(r'"(storage_budget|time_budget|cpu|duration|last_calculation)":[\d.e-]+', r'"\1":<number>', text)
    text = re.sub(r'"ticket":"eyJ[^"]*"', '"ticket":"<ticket>"', text)
    text = re.sub(r"\(\d+ bytes\)", "(<number> bytes)", text)
    text = re.sub(r"\b[0-9A-F]{40}\b", "<fingerprint>", text)
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
    shell.stdin.write(command + "\nprintf '\\n--done %d--\\n' $?\n")
    shell.stdin.flush()
    output = []
    for line in shell.stdout:
        done = re.fullmatch(r"--done (\d+)--\n", line)
        if done:
            if done[1] != "0":
                sys.exit(f"$ {command}\n{''.join(output)}\nended with {done[1]}")
            return "\n".join(output).rstrip("\n")
        output.append(line.rstrip("\n"))
    sys.exit(f"the shell ended at: {command}")


def steps_of(page, least):
    steps = console_blocks((ROOT / page).read_text())
    if len(steps) < least:
        sys.exit(f"the console blocks of {page} were not found")
    return steps


def follow_steps(page, shell, steps):
    for command, expected in steps:
        got = run(shell, command)
        if alike(got) != alike(expected):
            sys.exit(f"{page}: $ {command}\nexpected: {expected}\ngot:      {got}")
        print(f"$ {command}\n{got}", flush=True)


def open_shell(folder, environment):
    return subprocess.Popen(
        ["bash"], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def follow(name, page):
    steps = steps_of(name, page.least)
    with tempfile.TemporaryDirectory() as folder:
        # GnuPG's keys are the page's only.
        gnupg = pathlib.Path(folder) / "gnupg"
        gnupg.mkdir(mode=0o700)
        # Pages tell where in a checkout they are; this is as much of one as they need.
        (pathlib.Path(folder) / "examples").symlink_to(ROOT / "examples")
        release = TARGET / "release"
        path = f"{release}:{os.environ['PATH']}"
        environment = os.environ | {"GNUPGHOME": str(gnupg), "PATH": path}
        server = subprocess.Popen([release / "pinyto-server", *arguments(page.start)], cwd=folder)
        try:
            wait_for_server(server)
            shell = open_shell(folder, environment)
            for command in page.before:
                run(shell, command)
            follow_steps(name, shell, steps)
            shell.stdin.close()
            shell.wait()
        finally:
            if any(gnupg.iterdir()):
                subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
            server.terminate()
            if server.wait(timeout=30) != 0:
                sys.exit("the server didn't end well")
    print(f"the {len(steps)} commands of {name} gave what it shows")


def main():
    for name, page in PAGES.items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            follow(name, page)


if __name__ == "__main__":
    main()
