"""Looks at all pages: is every code block checked by something, and does every link lead somewhere?

What runs the blocks is said once, in CHECKS. A block that none of them covers is an error, unless
NOT_RUN names it and says why. Diagrams are parsed with what forges render them with, data is
parsed, and of commands that aren't run it is looked up at least that there are such programs,
packages, targets and options.
"""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib

import embed
import readme
import setup

ROOT = readme.ROOT
PROGRAM = readme.TARGET / "release" / "pinyto-server"
BOOK = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Their code is compiled with the documentation tests, too; crates.io shows them.
OF_CRATES = sorted(ROOT.glob("pinyto-*/README.md"))

# Blocks of commands that no check runs, by page and first line, each with its reason.
MEASURES = "measures for minutes, and is only worth it on a machine that does nothing else"
CONTAINERS = "takes Docker and its registry; the page says what was tried"
NOT_RUN = {
    ("README.md", "cargo verify"): "all tests: .ci/run begins with it",
    ("docs/checks.md", ".ci/api/check.py --renew"): "writes the snapshots that .ci/run compares with",
    ("docs/contributing.md", "cargo verify"): "all tests: .ci/run begins with it",
    ("docs/contributing.md", ".ci/run"): "it is what runs this",
    ("docs/contributing.md", "cargo check --workspace --all-targets --ignore-rust-version"): "what clippy does in .ci/run",
    ("docs/operations.md", "pinyto-server --database 'postgres://pinyto@db.example.org/pinyto?sslmode=verify-full'"): (
        "takes a PostgreSQL: docs/setup-cluster.md does it with three"
    ),
    ("docs/operations.md", "pinyto-server --listen 0.0.0.0:443 --tls-cert fullchain.pem --tls-key privkey.pem"): (
        "takes a certificate: docs/setup-one-machine.md does it"
    ),
    ("docs/operations.md", "pinyto-server backup - --database 'sqlite:pinyto.db' |"): (
        "takes a PostgreSQL: pinyto-http/tests/moving.rs does it"
    ),
    ("docs/operations.md", "mongoexport --db pinyto --collection documents --out books.json"): "takes a MongoDB",
    ("docs/migration.md", "mongoexport --db pinyto --collection documents --out books.json"): "takes a MongoDB",
    ("docs/performance.md", "cargo build --release --ignore-rust-version"): MEASURES,
    (
        "docs/performance.md",
        "cargo test --release --ignore-rust-version --workspace --test sqlite_query_speed -- --ignored --nocapture",
    ): MEASURES,
    (
        "docs/performance.md",
        "cargo test --release --ignore-rust-version -p pinyto-store --features postgres --test postgres_speed -- --ignored --nocapture",
    ): MEASURES,
    (
        "docs/performance.md",
        "cargo test --release --ignore-rust-version -p pinyto-store --features postgres --test postgres_query_speed -- --ignored --nocapture",
    ): MEASURES,
    ("docs/performance.md", "cargo build --release --workspace --bins --ignore-rust-version"): MEASURES,
    (
        "docs/setup-one-machine.md",
        "certbot certonly --standalone -d pinyto.example.org --deploy-hook /usr/local/sbin/pinyto-certificate",
    ): "takes a public name; the hook is run",
    ("docs/resource-servers.md", "client ── token, audience ──> Pinyto            POST /ticket"): "a picture",
    ("docs/setup-one-machine.md", "docker build -t pinyto ."): CONTAINERS,
    ("docs/setup-one-machine.md", 'echo "POSTGRES_PASSWORD=$(openssl rand -hex 24)" > .env'): CONTAINERS,
    ("docs/setup-one-machine.md", "docker exec pinyto pinyto-server backup - > pinyto.backup"): CONTAINERS,
    ("docs/setup-one-machine.md", "docker compose exec -T pinyto pinyto-server backup - > pinyto.backup"): CONTAINERS,
    ("docs/setup-one-machine.md", "docker exec pinyto cat server-key.pem > server-key.pem"): CONTAINERS,
}


@dataclasses.dataclass
class Block:
    page: str
    line: int
    # What stands behind the fence.
    info: str
    text: str

    @property
    def where(self):
        return f"{self.page}:{self.line}"

    @property
    def language(self):
        return re.split(r"[ ,]", self.info)[0]

    @property
    def reason(self):
        """Why it isn't run, if there is one."""
        return NOT_RUN.get((self.page, self.text.split("\n")[0]))


def blocks(page):
    """All fenced blocks of a page. Blocks that are only indented hide from checks: there are none."""
    name = str(page.relative_to(ROOT))
    found, block, in_list = [], None, False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if block is not None:
            if line == "```":
                found.append(block)
                block = None
            else:
                block.text += line + "\n"
        elif re.match(r"[\s>]+```|[\s>]*(~~~|<pre)", line):
            sys.exit(f"{name}:{number}: a block begins with ``` in the first column here")
        elif line.startswith("```"):
            block = Block(name, number, line[3:], "")
        elif line.startswith("    ") and not in_list:
            sys.exit(f"{name}:{number}: a block without a fence, which nothing checks: {line.strip()}")
        else:
            in_list = line.startswith(("- ", "* ", "  ")) or re.match(r"\d+\. ", line) is not None
    if block is not None:
        sys.exit(f"{block.where}: a block that doesn't end")
    return found


# Tests that run the blocks of a page themselves.
TESTS = {
    "docs/assemblies.md": "pinyto-http/tests/authors_guide.rs",
    "docs/resource-servers.md": "pinyto-core/tests/jwt_libraries.rs",
}


def followed(block):
    return block.page in readme.PAGES or block.page in setup.PAGES or block.page == embed.PAGE


# Who checks a block, by its language. Each tells whether it really does, or exits.
def starts_a_server(block):
    page = readme.PAGES.get(block.page)
    return page is not None and page.start == block.text.rstrip("\n")


def is_compiled(block):
    if {"ignore", "text"} & set(block.info.split(",")):
        return False
    return block.page in doc_tested()


def run_by_a_test(block):
    test = TESTS.get(block.page)
    return test is not None and block.page in (ROOT / test).read_text()


def is_json(block):
    try:
        json.loads(block.text)
    except ValueError as error:
        sys.exit(f"{block.where}: {error}")
    return True


def is_toml(block):
    try:
        tomllib.loads(block.text)
    except ValueError as error:
        sys.exit(f"{block.where}: {error}")
    return True


def is_resolved(block):
    """Dependencies of a project beside a checkout: cargo finds them, and they have those features."""
    if not (is_toml(block) and "dependencies" in tomllib.loads(block.text)):
        return False
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder) / "project"
        (project / "src").mkdir(parents=True)
        (project / "src" / "lib.rs").touch()
        (project / "Cargo.toml").write_text(f'[package]\nname = "project"\nedition = "2024"\n\n{block.text}')
        shutil.copy(ROOT / "Cargo.lock", project)
        (pathlib.Path(folder) / "pinyto").symlink_to(ROOT)
        command = ["cargo", "metadata", "--offline", "--quiet", "--format-version", "1"]
        resolved = subprocess.run(command, cwd=project, capture_output=True, text=True)
    if resolved.returncode != 0:
        sys.exit(f"{block.where}: {resolved.stderr}")
    return True


def is_diagram(_):
    # All of them are parsed at once, at the end.
    return True


CHECKS = {
    "console": [("followed", followed), ("run by a test", run_by_a_test)],
    "sh": [("followed", starts_a_server)],
    "rust": [("compiled", is_compiled)],
    "python": [("run by a test", run_by_a_test)],
    "js": [("run by a test", run_by_a_test)],
    "json": [("parsed", is_json)],
    "toml": [("resolved", is_resolved), ("parsed", is_toml)],
    "mermaid": [("parsed", is_diagram)],
}


def covered(block):
    """How a block is checked, or None."""
    for how, check in CHECKS.get(block.language, []):
        if check(block):
            return how
    if block.reason is not None:
        for command in commands(block.text) if block.language == "sh" else []:
            look_up(block, command)
        return "looked up" if block.language == "sh" else "not run"
    return None


def commands(text):
    """Simple commands of a block, as words."""
    joined = re.sub(r"\\\n", " ", text)
    for line in re.split(r"\n|(?<=\s)\|(?=\s)|&&", joined):
        words = shlex.split(line, comments=True)
        if words:
            yield words


def look_up(block, words):
    program, *rest = words
    if program == "cargo":
        cargo(block, rest)
    elif "pinyto-server" in [os.path.basename(word) for word in words]:
        at = [os.path.basename(word) for word in words].index("pinyto-server")
        options(block, words[at + 1 :])
    elif program == "python3" and rest and not (ROOT / rest[0]).exists():
        sys.exit(f"{block.where}: there is no {rest[0]}")
    elif "/" in program and not program.startswith("target/") and not (ROOT / program).exists():
        sys.exit(f"{block.where}: there is no {program}")


def cached(function):
    kept = {}

    def once(*key):
        if key not in kept:
            kept[key] = function(*key)
        return kept[key]

    return once


@cached
def doc_tested():
    """Pages that are the documentation of something, and so compiled with its tests."""
    found = set()
    for folder in ROOT.glob("*/src"):
        for file in folder.rglob("*.rs"):
            for path in re.findall(r'#!?\[doc = include_str!\("([^"]+\.md)"\)\]', file.read_text()):
                page = (file.parent / path).resolve()
                found.add(str(page.relative_to(ROOT)))
    return found


@cached
def metadata():
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return json.loads(told.stdout)["packages"]


@cached
def help_of(command):
    told = subprocess.run([PROGRAM, *filter(None, [command]), "--help"], stdout=subprocess.PIPE, text=True)
    return told.stdout if told.returncode == 0 else ""


def options(block, words):
    """The server's command and options that stand there."""
    command = words[0] if words and re.fullmatch(r"[a-z][a-z-]+", words[0]) else ""
    known = help_of(command)
    if not known:
        sys.exit(f"{block.where}: pinyto-server has no command {command}")
    for word in words:
        option = re.match(r"--[a-z-]+", word)
        if option and not re.search(re.escape(option[0]) + r"\b", known + help_of("")):
            sys.exit(f"{block.where}: pinyto-server has no option {option[0]}")


def cargo(block, words):
    aliases = tomllib.loads((ROOT / ".cargo/config.toml").read_text())["alias"]
    if words[0] in aliases:
        words = [*aliases[words[0]].split(), *words[1:]]
    named = {"package": [], "target": [], "feature": []}
    kinds = {"-p": "package", "--package": "package", "--features": "feature"}
    kinds |= dict.fromkeys(["--test", "--bin", "--example", "--bench"], "target")
    for option, value in zip(words, words[1:]):
        if option == "--":
            break
        if option in kinds:
            named[kinds[option]].append(value)
    packages = [each for each in metadata() if not named["package"] or each["name"] in named["package"]]
    if len(packages) < max(len(named["package"]), 1):
        sys.exit(f"{block.where}: there are no packages {named['package']}")
    targets = {target["name"] for package in packages for target in package["targets"]}
    features = {feature for package in packages for feature in package["features"]}
    for kind, known in (("target", targets), ("feature", features)):
        missing = set(named[kind]) - known
        if missing:
            sys.exit(f"{block.where}: there is no {kind} {', '.join(missing)}")


def check_inline(page):
    """Commands within sentences and tables aren't run, but there are such things."""
    name = str(page.relative_to(ROOT))
    count = 0
    for span in re.findall(r"`([^`\n]+)`", without_blocks(page.read_text())):
        if re.match(r"(cargo|(target/release/)?pinyto-server|python3) [\w.-]|\.ci/\w", span):
            for command in commands(span):
                look_up(Block(name, 0, "", span), command)
                count += 1
    return count


def check_diagrams(diagrams):
    parser = ROOT / ".ci" / "mermaid"
    if not (parser / "node_modules").exists():
        install = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(install, cwd=parser, check=True)
    asked = json.dumps([{"where": block.where, "text": block.text} for block in diagrams])
    if subprocess.run(["node", parser / "parse.mjs"], input=asked, text=True).returncode != 0:
        sys.exit("not all diagrams can be drawn")


def without_blocks(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def anchors(text):
    """Of all headings, as forges make them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", without_blocks(text), re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", heading).replace(" ", "-"))
    return found


def check_links(page):
    """Of pages to files and headings; addresses elsewhere are not asked for."""
    count = 0
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists():
            sys.exit(f"{page.relative_to(ROOT)}: a link leads nowhere: {target}")
        if anchor and anchor not in anchors(file.read_text()):
            sys.exit(f"{page.relative_to(ROOT)}: no heading is called so: {target}")
        count += 1
    return count


def check_index():
    """Every page is in the index."""
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text()))
    missing = {page.name for page in (ROOT / "docs").glob("*.md")} - listed - {"README.md"}
    if missing:
        sys.exit(f"docs/README.md doesn't list {', '.join(sorted(missing))}")


def main():
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there: build it first")
    found = [block for page in [*BOOK, *OF_CRATES] for block in blocks(page)]
    count, unchecked = {}, []
    for block in found:
        how = covered(block)
        if how is None:
            unchecked.append(f"{block.where}: nothing checks this block: ```{block.info}\n{block.text}")
        else:
            count[how] = count.get(how, 0) + 1
    if unchecked:
        sys.exit("\n".join(unchecked))
    unused = set(NOT_RUN) - {(block.page, block.text.split("\n")[0]) for block in found}
    if unused:
        sys.exit(f"no such blocks (any more): {sorted(unused)}")
    check_diagrams([block for block in found if block.language == "mermaid"])
    check_index()
    inline = sum(check_inline(page) for page in [*BOOK, *OF_CRATES])
    links = sum(check_links(page) for page in [*BOOK, *OF_CRATES])
    told = ", ".join(f"{number} {how}" for how, number in sorted(count.items()))
    print(f"{len(found)} blocks of {len(BOOK) + len(OF_CRATES)} pages: {told}; {inline} commands beside them looked up; {links} links lead somewhere")


if __name__ == "__main__":
    main()
