#!/usr/bin/env python3
"""Counts the crates that others wrote which each of ours needs, per set of features, and compares that with the table in
docs/dependencies.md. All that is built counts on Linux: procedural macros and build scripts too, tests not.

    .ci/dependencies.py --renew     writes the table anew
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "dependencies.md"
TABLE = re.compile(r"(?<=\n\n)\| crate \| features \| crates \|\n(?:\|.*\n)+")
SETS = [
    ("pinyto-core", "none"),
    ("pinyto-core", "default"),
    ("pinyto-core", "aws-lc"),
    ("pinyto-core", "aws-lc,gpgauth"),
    ("pinyto-store", "sqlite"),
    ("pinyto-store", "postgres"),
    ("pinyto-store", "postgres-tls"),
    ("pinyto-sandbox", "default"),
    ("pinyto-http", "none"),
    ("pinyto-http", "openapi"),
    ("pinyto-http", "gpgauth"),
    ("pinyto-http", "client"),
    ("pinyto-http", "server"),
    ("pinyto-http", "server,postgres"),
    ("pinyto-http", "default"),
]


def crates(package, features):
    flags = {"none": ["--no-default-features"], "default": []}.get(features)
    if flags is None:
        flags = ["--no-default-features", "--features", features]
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "--package", package, *flags, "--edges", "normal,build", "--prefix", "none",
         "--no-dedupe", "--format", "{p}", "--target", "x86_64-unknown-linux-gnu"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    # Ours have their path behind their version.
    return {line.removesuffix(" (proc-macro)") for line in tree.splitlines() if line and "(/" not in line}


def main():
    rows = [(package, features, len(crates(package, features))) for package, features in SETS]
    table = "| crate | features | crates |\n|---|---|---:|\n"
    table += "".join(f"| `{package}` | {features} | {count} |\n" for package, features, count in rows)
    page = PAGE.read_text()
    found = TABLE.search(page)
    if not found:
        sys.exit("docs/dependencies.md has no table of counts")
    if sys.argv[1:] == ["--renew"]:
        PAGE.write_text(page.replace(found.group(), table))
    elif found.group() != table:
        sys.exit(f"docs/dependencies.md counts otherwise; .ci/dependencies.py --renew writes this:\n{table}")
    for package, features, count in rows:
        print(f"{count:4} {package} ({features})")


if __name__ == "__main__":
    main()
