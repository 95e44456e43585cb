//! What `docs/assemblies-language.md` says about features of Python is so: every row of its tables
//! has code here, and what the row says comes out.

use std::{collections::BTreeSet, fs, path::Path};

use crate::running_server::command;

/// Code for a row of a table, which is found by its first cell.
struct Sample {
    row: &'static str,
    code: &'static str,
    shows: Shows,
}

/// What comes out.
enum Shows {
    /// This JSON.
    Answer(&'static str),
    /// The code is refused when it is saved.
    Refused,
    /// This exception, with this in its text.
    Raises(&'static str, &'static str),
}

use Shows::{Answer, Raises, Refused};

macro_rules! samples {
    ($($row:literal: $($code:literal => $shows:expr),+;)+) => {
        &[$($(Sample { row: $row, code: $code, shows: $shows }),+),+]
    };
}

#[rustfmt::skip]
const SAMPLES: &[Sample] = samples! {
    "`del name`":
        "a = 1\ndel a\nreturn a" => Answer("null");
    "generator expressions, `map`, `filter`, `zip`, `enumerate`, `reversed`":
        "seen = []\ndef note(x):\n    seen.append(x)\n    return x\nlater = map(note, [1, 2])\nreturn seen" => Answer("[1,2]"),
        "seen = []\ndef note(x):\n    seen.append(x)\n    return x\nlater = (note(x) for x in [1, 2])\nreturn seen" => Answer("[1,2]");
    "`ValueError(a, b)`, `ValueError(5)`":
        "e = ValueError('a', 5)\nreturn [str(e), len(e.args)]" => Answer("[\"('a', 5)\",1]"),
        "e = ValueError(5)\nreturn [str(e), list(e.args)]" => Answer("[\"5\",[\"5\"]]"),
        "return [str(KeyError(5))]" => Answer("[\"'5'\"]");
    "`type(e) is ValueError` for a caught exception":
        "try:\n    int('x')\nexcept ValueError as e:\n    return [type(e) is ValueError, isinstance(e, ValueError)]" => Answer("[false,true]");
    "`OrderedDict`":
        "from collections import OrderedDict\nreturn type(OrderedDict()) is dict" => Answer("true"),
        "from collections import OrderedDict\nOrderedDict(a=1).move_to_end('a')" => Raises("AttributeError", "move_to_end");
    "`datetime.now()`":
        "utc = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)\nreturn abs((datetime.datetime.now() - utc).total_seconds()) < 5" => Answer("true");
    "a regular expression with backreferences or look-around that tries too much":
        "return bool(re.search(r'(a+)\\1$', 'aab aa'))" => Answer("true"),
        "re.search(r'^(a+)+\\1?(?=b)$', 'a' * 40 + 'c')" => Raises("PatternError", ""),
        "try:\n    re.search(r'^(a+)+\\1?(?=b)$', 'a' * 40 + 'c')\nexcept re.error:\n    return 1" => Answer("1");
    "ints of more than 4300 digits, lists and dicts nested more than 100 deep":
        "return 10 ** 5000" => Raises("ValueError", ""),
        "value = 1\nfor i in range(101): value = [value]\nreturn value" => Raises("ValueError", ""),
        "value = 1\nfor i in range(101): value = {'a': value}\nreturn value" => Raises("ValueError", "");
    "`yield`":
        "def f():\n    yield 1\nreturn list(f())" => Refused;
    "`class A(B)`, `class E(Exception)`":
        "class A:\n    pass\nclass E(A):\n    pass\nreturn 1" => Refused,
        "class E(Exception):\n    pass\nreturn 1" => Refused;
    "`@property`, `@staticmethod`, `@classmethod`":
        "class A:\n    @property\n    def f(self):\n        return 1\nreturn 1" => Refused,
        "class A:\n    @staticmethod\n    def f():\n        return 1\nreturn 1" => Refused,
        "class A:\n    @classmethod\n    def f(cls):\n        return 1\nreturn 1" => Refused;
    "`async`, `await`":
        "async def f():\n    return 1\nreturn 1" => Refused,
        "return await f()" => Refused;
    "`del obj.attribute`, `del x[::2]`":
        "class A:\n    pass\na = A()\na.b = 1\ndel a.b\nreturn 1" => Refused,
        "x = [1, 2, 3]\ndel x[::2]\nreturn x" => Refused;
    "`except*`, `type X = ...`, `t\"...\"`, `import *`":
        "try:\n    pass\nexcept* ValueError:\n    pass\nreturn 1" => Refused,
        "type X = int\nreturn 1" => Refused,
        "return t'{1}'" => Refused,
        "from math import *\nreturn pi" => Refused;
    "other modules (`os`, `sys`, `requests`, `uuid`, `operator`, `heapq`, ...)":
        "import os\nreturn 1" => Refused,
        "import sys\nreturn 1" => Refused,
        "import requests\nreturn 1" => Refused,
        "import uuid\nreturn 1" => Refused,
        "import operator\nreturn 1" => Refused,
        "from heapq import heappush\nreturn 1" => Refused,
        "try:\n    import os\nexcept ModuleNotFoundError as e:\n    raise e" => Raises("ModuleNotFoundError", "os");
    "`open`, `eval`, `exec`, `input`, `__import__`, `globals`, ...":
        "return open('/etc/passwd').read()" => Raises("NameError", "open"),
        "return eval('1')" => Raises("NameError", "eval"),
        "exec('1')" => Raises("NameError", "exec"),
        "return input()" => Raises("NameError", "input"),
        "return __import__('os')" => Raises("NameError", "__import__"),
        "return globals()" => Raises("NameError", "globals");
    "`issubclass`, `dir`, `memoryview`":
        "return issubclass(int, int)" => Raises("NameError", "issubclass"),
        "return dir([])" => Raises("NameError", "dir"),
        "return memoryview(b'a')" => Raises("NameError", "memoryview");
    "`time.sleep`":
        "import time\ntime.sleep(1)" => Raises("PermissionError", "");
    "`db` in `list.sort(key=...)`, or in a method such as `__eq__`":
        "x = [2, 1]\nx.sort(key=lambda n: db.count({}))\nreturn x" => Raises("NotImplementedError", "call them in a loop before"),
        "class A:\n    def __eq__(self, other):\n        return db.count({}) == 0\nreturn A() == A()" => Raises("NotImplementedError", "call them in a loop before");
    "`__lt__` in `sorted`, `__getattr__` of a class of yours":
        "class A:\n    def __lt__(self, other):\n        return True\nreturn len(sorted([A(), A()]))" => Raises("TypeError", ""),
        "class A:\n    def __getattr__(self, name):\n        return 1\ntry:\n    return A().b\nexcept AttributeError:\n    return {'called': False}" => Answer("{\"called\":false}");
    "`__bool__` of a class of yours":
        "class A:\n    def __bool__(self):\n        return False\nreturn bool(A())" => Answer("true");
    "`getattr(text, \"upper\")`":
        "return getattr('a', 'upper')()" => Raises("AttributeError", "");
    "`dataclasses.asdict`, `date.isocalendar`, `date.toordinal`, `int.bit_length`, `int.from_bytes`, `int.to_bytes`, `set.update` with several arguments, other encodings than UTF-8 and ASCII":
        "import dataclasses\nreturn dataclasses.asdict(1)" => Raises("", "asdict"),
        "return datetime.date(2026, 1, 1).isocalendar()" => Raises("", "isocalendar"),
        "return datetime.date(2026, 1, 1).toordinal()" => Raises("", "toordinal"),
        "return (5).bit_length()" => Raises("", "bit_length"),
        "return int.from_bytes(b'a')" => Raises("", "from_bytes"),
        "return (5).to_bytes(1)" => Raises("", "to_bytes"),
        "s = set()\ns.update([1], [2])\nreturn len(s)" => Raises("", "update"),
        "return 'a'.encode('latin-1')" => Raises("", "latin-1");
};

/// The first two cells of all rows of all tables on the page.
fn rows(page: &str) -> Vec<[String; 2]> {
    let tables = page.lines().filter(|line| line.starts_with('|'));
    let rows = tables.map(|line| {
        let mut cells = line.trim_matches('|').split(" | ");
        [0, 1].map(|_| cells.next().unwrap_or_default().trim().to_owned())
    });
    let heads = ["In Python", "Feature"];
    rows.filter(|[first, _]| !heads.contains(&first.as_str()) && !first.starts_with("---"))
        .collect()
}

/// What stands between quotation marks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('"').skip(1).step_by(2)
}

#[test]
fn the_page_about_the_language_says_what_is_so() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/assemblies-language.md");
    let rows = rows(&fs::read_to_string(page).unwrap());
    let mut wrong = Vec::new();
    let known: BTreeSet<_> = SAMPLES.iter().map(|sample| sample.row).collect();
    let shown: BTreeSet<_> = rows.iter().map(|[first, _]| first.as_str()).collect();
    wrong.extend(
        shown
            .difference(&known)
            .map(|row| format!("no sample: {row}")),
    );
    wrong.extend(known.difference(&shown).map(|row| format!("no row: {row}")));

    let folder = tempfile::tempdir().unwrap();
    let begun: Vec<_> = SAMPLES
        .iter()
        .zip(0..)
        .map(|(sample, number)| {
            let file = format!("{number}.py");
            fs::write(folder.path().join(&file), sample.code).unwrap();
            let mut command = command(folder.path());
            command
                .args(["run-assembly", &file])
                .env("TZ", "Asia/Tokyo");
            (sample, command.output().unwrap())
        })
        .collect();
    for [row, says] in &rows {
        let mut told = String::new();
        for (sample, output) in begun.iter().filter(|(sample, _)| sample.row == row) {
            let answer = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            let is_so = match sample.shows {
                Answer(json) => answer.trim_end() == json,
                Refused => says.contains("refused") && errors.contains("can't be run: "),
                Raises(kind, part) => {
                    let named = errors.lines().last().is_some_and(|line| {
                        line.split_once(": ").is_some_and(|(raised, text)| {
                            (kind.is_empty()
                                || raised == kind
                                || raised.ends_with(&format!(".{kind}")))
                                && text.contains(part)
                        })
                    });
                    named && (kind.is_empty() || says.contains(kind) || kind == "AttributeError")
                }
            };
            if !is_so {
                let code = sample.code;
                wrong.push(format!("{row}: {says}\n{code}\ngave: {answer}{errors}"));
            }
            told += &errors;
        }
        for text in quoted(says).filter(|text| !told.contains(text)) {
            wrong.push(format!("{row}: nothing says {text:?}\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
