"""Follows docs/embedding.md from an empty cargo project to a working server, and counts what is written.

The commands are the page's, the program is its first block of Rust, and then its calls are made. Only
building is done otherwise, so that not everything is built twice: the project becomes a member of a
workspace that is this one (of links to it), with its lock file and its target folder, and is built as the
tests are, in the dev profile and with the same features, so that its dependencies are there already.

`--clean FOLDER`: literally, in a new target folder; that takes long.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import readme

PAGE = "docs/embedding.md"
ROOT = readme.ROOT
# Lines that the user writes, at most.
LINES = 30
BUILDS = "cargo run --release --ignore-rust-version"


def written(text):
    """The program: the first block of Rust."""
    program = re.search(r"```rust,no_run\n(.*?)```", text, re.S)
    if program is None:
        sys.exit(f"the program of {PAGE} was not found")
    return program[1]


def join_workspace(project, checkout):
    """As if the checkout's workspace had the project as a member, without touching it."""
    checkout.unlink()
    checkout.mkdir()
    for part in ROOT.iterdir():
        if part.name not in ("Cargo.toml", "Cargo.lock", ".git", "target"):
            (checkout / part.name).symlink_to(part)
    workspace = (ROOT / "Cargo.toml").read_text()
    member = workspace.replace("members = [", f'members = ["../{project.name}", ', 1)
    (checkout / "Cargo.toml").write_text(member)
    shutil.copy(ROOT / "Cargo.lock", checkout)
    manifest = project / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("[package]\n", '[package]\nworkspace = "../pinyto"\n', 1))


def build(folder, project, checkout):
    """The program, built."""
    command = ["cargo", "build", "--ignore-rust-version"]
    if "--clean" in sys.argv:
        target = pathlib.Path(sys.argv[sys.argv.index("--clean") + 1]).absolute()
        shutil.copy(ROOT / "Cargo.lock", project)
        where, profile = project, "release"
        command.append("--release")
    else:
        join_workspace(project, checkout)
        target, where, profile = readme.TARGET, checkout, "debug"
        # An example has cargo take the features that dependencies have in tests.
        command += ["--offline", "--workspace", "--bin", project.name, "--example", "axum_app"]
    begun = time.monotonic()
    subprocess.run(command, cwd=where, env=os.environ | {"CARGO_TARGET_DIR": str(target)}, check=True)
    print(f"built in {time.monotonic() - begun:.0f} s", flush=True)
    return target / profile / project.name


def main():
    steps = readme.steps_of(PAGE, 10)
    text = (ROOT / PAGE).read_text()
    program = written(text)
    lines = [line for line in program.splitlines() if line.strip()]
    if len(lines) > LINES:
        sys.exit(f"{PAGE}: the user writes {len(lines)} lines, which are more than {LINES}")
    if f"{len(lines)} lines" not in text:
        sys.exit(f"{PAGE} doesn't say that it is {len(lines)} lines")
    server = None
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        checkout, project = folder / "pinyto", folder / "my-server"
        checkout.symlink_to(ROOT)
        # Everything was fetched for the workspace.
        quiet = {"CARGO_TERM_COLOR": "never"} | ({} if "--clean" in sys.argv else {"CARGO_NET_OFFLINE": "true"})
        shell = readme.open_shell(folder, os.environ | quiet)
        try:
            for command, expected in steps:
                if command != BUILDS:
                    readme.follow_steps(PAGE, shell, [(command, expected)])
                    continue
                (project / "src" / "main.rs").write_text(program)
                server = subprocess.Popen([build(folder, project, checkout)], cwd=project)
                readme.wait_for_server(server)
            if server is None:
                sys.exit(f"{PAGE} doesn't build its program")
            shell.stdin.close()
            shell.wait()
        finally:
            if server is not None:
                server.terminate()
                server.wait(timeout=30)
    print(f"{PAGE}: {len(lines)} lines written, {len(steps)} commands gave what it shows")


if __name__ == "__main__":
    main()
