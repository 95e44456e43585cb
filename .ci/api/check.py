#!/usr/bin/env python3
"""Compares the public API of the published crates, with all features, with the texts beside this file.

It also finds types of other crates in it that may change incompatibly before 1.0: each has to be in `foreign.toml`
with a reason, since a new version of that crate breaks who uses ours. After a change that is meant:

    .ci/api/check.py --renew
"""

import difflib
import os
import pathlib
import re
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CRATES = ["pinyto-core", "pinyto-store", "pinyto-sandbox", "pinyto-http"]
RENEW = ".ci/api/check.py --renew"
# Traits that a type has or hasn't without anybody saying so. Of them only `Send` and `Sync` are told, where they are
# missing or depend on something.
UNSAID = re.compile(
    r"^impl(?:<.*>)? !?core::(?:marker::(?:Freeze|StructuralPartialEq|Unpin|UnsafeUnpin)|panic::unwind_safe::\w+) for "
    r"|^impl(?:<.*>)? core::marker::(?:Send|Sync) for (?!.* where )"
)
# Where things of the standard library are, which everybody knows.
STANDARD = re.compile(r"(?<![\w:])(?:core|alloc|std)::(?:\w+::)+(?=[A-Z])")


def cargo(*arguments, **env):
    subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, env=os.environ | env)


def target():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()


def described():
    """Lets rustdoc describe the workspace. It lints as it would for people, so nothing needs to do that again."""
    cargo(
        "doc", "--locked", "--ignore-rust-version", "--workspace", "--no-deps", "--all-features",
        RUSTDOC=str(HERE / "rustdoc"),
        RUSTDOCFLAGS="-D warnings -Z unstable-options --output-format json",
    )


def text(crate):
    description = target() / "doc" / f"{crate.replace('-', '_')}.json"
    if not description.exists():
        sys.exit(f"rustdoc left no {description}")
    program = target() / "api" / "debug" / "pinyto-api-text"
    lines = subprocess.run([program, description], check=True, capture_output=True, text=True).stdout.splitlines()
    kept, of_trait = [], False
    for line in lines:
        if line.startswith("impl"):
            of_trait = " for " in line
        elif not line.startswith("pub fn "):
            of_trait = False
        elif of_trait:
            # The trait says what it looks like.
            continue
        if not UNSAID.match(line):
            kept.append(STANDARD.sub("", line))
    return kept


def unstable_crates():
    """The names, as in paths, of the crates in the lock file that have a version before 1.0."""
    listed = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {p["name"].replace("-", "_") for p in listed if p["version"].startswith("0.") and "source" in p}


def foreign(lines, unstable):
    """Which of these crates are in the text, with a line for each."""
    found = {}
    for line in lines:
        for name in re.findall(r"(?<![\w:])([a-z]\w*)::", line):
            if name in unstable:
                found.setdefault(name, line)
    return found


def main():
    renew = sys.argv[1:] == ["--renew"]
    if sys.argv[1:] and not renew:
        sys.exit(__doc__)
    described()
    cargo("build", "--quiet", "--locked", "--manifest-path", str(HERE / "Cargo.toml"), "--target-dir", str(target() / "api"))
    unstable = unstable_crates()
    listed = tomllib.loads((HERE / "foreign.toml").read_text())
    wrong = 0
    for crate in CRATES:
        lines = text(crate)
        file = HERE / f"{crate}.txt"
        before = file.read_text().splitlines() if file.exists() else []
        if renew:
            file.write_text("\n".join(lines) + "\n")
        elif lines != before:
            wrong += 1
            print(f"The API of {crate} has changed. If it was meant to: {RENEW}")
            changes = difflib.unified_diff(before, lines, "committed", "now", n=0, lineterm="")
            for line in list(changes)[:40]:
                print(f"    {line}")
        reasons = listed.get(crate, {})
        found = foreign(lines, unstable)
        for name in sorted(found.keys() - reasons.keys()):
            wrong += 1
            print(f"{crate} has a type of {name} in its API, without a reason in .ci/api/foreign.toml:\n    {found[name]}")
        for name in sorted(reasons.keys() - found.keys()):
            wrong += 1
            print(f"{crate} has nothing of {name} in its API any more: take it out of .ci/api/foreign.toml")
        print(f"{crate}: {len(lines)} lines; from crates before 1.0: {', '.join(sorted(found)) or 'nothing'}")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
