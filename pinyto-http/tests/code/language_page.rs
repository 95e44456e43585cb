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
        "seen = []\ndef note(x):\n    seen.append(x)\n    return x\nlater = (note(x) for x in [1, 2])\nreturn seen" => Answer("[1,2]"),
        "seen = []\ndef note(x):\n    seen.append(x)\n    return x\nlater = map(note, [1, 2])\nreturn seen" => Answer("[1,2]"),
        "seen = []\ndef note(x):\n    seen.append(x)\n    return x\nlater = filter(note, [1, 2])\nreturn seen" => Answer("[1,2]"),
        "class Once:\n    n = 0\n    def __iter__(self):\n        return self\n    def __next__(self):\n        self.n += 1\n        if self.n > 3:\n            raise StopIteration\n        return self.n\nonce = Once()\nlater = zip(once)\nreturn once.n" => Answer("4"),
        "class Once:\n    n = 0\n    def __iter__(self):\n        return self\n    def __next__(self):\n        self.n += 1\n        if self.n > 3:\n            raise StopIteration\n        return self.n\nonce = Once()\nlater = enumerate(once)\nreturn once.n" => Answer("4"),
        "x = [1, 2]\nlater = reversed(x)\nx[0] = 3\nreturn list(later)" => Answer("[2,1]"),
        "import itertools\nlater = map(str, itertools.count())\nreturn 1" => Raises("", "bytes of memory");
    "`ValueError(a, b)`, `ValueError(5)`":
        "e = ValueError('a', 5)\nreturn [str(e), len(e.args)]" => Answer("[\"('a', 5)\",1]"),
        "e = ValueError(5)\nreturn [str(e), list(e.args)]" => Answer("[\"5\",[\"5\"]]"),
        "return [str(KeyError(5))]" => Answer("[\"'5'\"]");
    "`type(e) is ValueError` for an exception":
        "try:\n    int('x')\nexcept ValueError as e:\n    return [type(e) is ValueError, isinstance(e, ValueError)]" => Answer("[false,true]"),
        "return type(ValueError('x')) is ValueError" => Answer("false");
    "`OrderedDict`":
        "from collections import OrderedDict\nreturn type(OrderedDict()) is dict" => Answer("true"),
        "import collections\nreturn type(collections.OrderedDict()) is dict" => Answer("true"),
        "from collections import OrderedDict\nOrderedDict(a=1).move_to_end('a')" => Raises("AttributeError", "move_to_end");
    "`datetime.now()`":
        "utc = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)\nreturn abs((datetime.datetime.now() - utc).total_seconds()) < 5" => Answer("true");
    "a regular expression with backreferences or look-around that tries too much":
        "return bool(re.search(r'(a+)\\1$', 'aab aa'))" => Answer("true"),
        "re.search(r'^(a+)+\\1?(?=b)$', 'a' * 40 + 'c')" => Raises("PatternError", ""),
        "try:\n    re.search(r'^(a+)+\\1?(?=b)$', 'a' * 40 + 'c')\nexcept re.error:\n    return 1" => Answer("1"),
        "return bool(re.search(r'^(a+)+$', 'a' * 100000 + 'c'))" => Answer("false");
    "`functools.wraps`":
        "import functools\ndef f(): pass\ndef g(): pass\nreturn functools.wraps(f)(g) is g" => Answer("true"),
        "from functools import wraps\ndef f(): pass\ndef g(): pass\nreturn wraps(f)(g) is g" => Answer("true");
    "`re.compile(\"a\").flags`":
        "return [re.compile('a').flags, re.compile('a', re.I).flags]" => Answer("[0,2]");
    "`itertools.compress`, `dropwhile`, `filterfalse`, `takewhile`":
        "import itertools\nclass No:\n    def __bool__(self):\n        return False\nclass Empty:\n    def __len__(self):\n        return 0\nobjects = [No(), Empty()]\nreturn list(itertools.compress([1, 2], objects))" => Answer("[1,2]"),
        "import itertools\nclass No:\n    def __bool__(self):\n        return False\nclass Empty:\n    def __len__(self):\n        return 0\nobjects = [No(), Empty()]\nreturn list(itertools.dropwhile(lambda x: x, objects))" => Answer("[]"),
        "import itertools\nclass No:\n    def __bool__(self):\n        return False\nclass Empty:\n    def __len__(self):\n        return 0\nobjects = [No(), Empty()]\nreturn list(itertools.filterfalse(None, objects))" => Answer("[]"),
        "import itertools\nclass No:\n    def __bool__(self):\n        return False\nclass Empty:\n    def __len__(self):\n        return 0\nobjects = [No(), Empty()]\nreturn len(list(itertools.takewhile(lambda x: x, objects)))" => Answer("2");
    "`hasattr(text, \"upper\")`":
        "return [hasattr('', 'upper'), hasattr([], 'append'), hasattr({}, 'get'), hasattr(datetime.date.today(), 'isoformat')]" => Answer("[true,true,true,true]"),
        "class A:\n    b = 1\n    def f(self):\n        return 1\nreturn [hasattr(A(), 'b'), hasattr(A(), 'f'), hasattr(A(), 'g')]" => Answer("[true,true,false]"),
        "return [hasattr(re.compile('a'), 'pattern'), hasattr(re.compile('a'), 'match')]" => Answer("[true,false]");
    "`{1: \"a\", True: \"b\"}`":
        "return [str({1: 'a', True: 'b'})]" => Answer("[\"{True: 'b'}\"]");
    "half of a surrogate pair in a text":
        "return ['\\ud83d']" => Answer("[\"�\"]"),
        "return json.dumps('\\ud83d')" => Answer("\"\\ufffd\"");
    "ints of more than 4300 digits, lists and dicts nested more than 100 deep":
        "return [10 ** 4299 > 0, len(json.dumps(10 ** 4299))]" => Answer("[true,4300]"),
        "return [10 ** 4300]" => Raises("ValueError", ""),
        "return db.insert({'a': 10 ** 4300})" => Raises("ValueError", ""),
        "value = 1\nfor i in range(101): value = [value]\nreturn value" => Raises("ValueError", ""),
        "value = 1\nfor i in range(101): value = {'a': value}\nreturn value" => Raises("ValueError", ""),
        "value = 1\nfor i in range(101): value = {'a': value}\ndb.save(value)" => Raises("ValueError", "");
    "`yield`":
        "def f():\n    yield 1\nreturn list(f())" => Refused,
        "def f():\n    yield from [1]\nreturn list(f())" => Refused;
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
    "`del obj.attribute`":
        "class A:\n    pass\na = A()\na.b = 1\ndel a.b\nreturn 1" => Refused;
    "`__lt__`, `__le__`, `__gt__`, `__ge__`":
        "class A:\n    def __lt__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __le__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __gt__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __ge__(self, other):\n        return 1\nreturn 1" => Refused;
    "`__ne__`, `__new__`, `__format__`, `__setattr__`, `__getattr__`, `__getattribute__`, `__iadd__` and its like, `__bytes__`, `__reversed__`, `__missing__`":
        "class A:\n    def __ne__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __new__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __format__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __setattr__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __getattr__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __getattribute__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __iadd__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __isub__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __ior__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __bytes__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __reversed__(self, other):\n        return 1\nreturn 1" => Refused,
        "class A:\n    def __missing__(self, other):\n        return 1\nreturn 1" => Refused;
    "classes in classes, statements in them other than methods and values":
        "class A:\n    class B:\n        pass\nreturn 1" => Refused,
        "class A:\n    if True:\n        x = 1\nreturn 1" => Refused;
    "`global len` and other names of Python":
        "global len\nlen = 5\nreturn len" => Refused,
        "global sorted\nsorted = 5\nreturn sorted" => Refused;
    "a comment between the halves of an `or` or `and`, with `__bool__` or `__len__` in the code":
        "class A:\n    def __bool__(self):\n        return False\nreturn (A() # here\n    or 5)" => Refused,
        "class A:\n    def __len__(self):\n        return 0\nx = (A() and # here\n    5)\nreturn 1" => Refused;
    "`except*`, `type X = ...`, `t\"...\"`, `import *`":
        "try:\n    pass\nexcept* ValueError:\n    pass\nreturn 1" => Refused,
        "type X = int\nreturn 1" => Refused,
        "return t'{1}'" => Refused,
        "from math import *\nreturn pi" => Refused;
    "other modules (`os`, `sys`, `io`, `requests`, `urllib`, `uuid`, `operator`, `heapq`, `textwrap`, `html`, `enum`, `contextlib`, `secrets`, `statistics`, `collections.abc`, ...)":
        "import os\nreturn 1" => Refused,
        "import sys\nreturn 1" => Refused,
        "import io\nreturn 1" => Refused,
        "import requests\nreturn 1" => Refused,
        "import urllib\nreturn 1" => Refused,
        "import uuid\nreturn 1" => Refused,
        "import operator\nreturn 1" => Refused,
        "import heapq\nreturn 1" => Refused,
        "import textwrap\nreturn 1" => Refused,
        "import html\nreturn 1" => Refused,
        "import enum\nreturn 1" => Refused,
        "import contextlib\nreturn 1" => Refused,
        "import secrets\nreturn 1" => Refused,
        "import statistics\nreturn 1" => Refused,
        "import collections.abc\nreturn 1" => Refused,
        "from os.path import join\nreturn 1" => Refused,
        "try:\n    import os\nexcept ModuleNotFoundError as e:\n    raise e" => Raises("ModuleNotFoundError", "os"),
        "try:\n    from heapq import heappush\nexcept ModuleNotFoundError as e:\n    raise e" => Raises("ModuleNotFoundError", "heapq");
    "`open`, `eval`, `exec`, `input`, `__import__`, `globals`, ...":
        "return open('1')" => Refused,
        "return eval('1')" => Refused,
        "return exec('1')" => Refused,
        "return input('1')" => Refused,
        "return __import__('1')" => Refused,
        "return globals('1')" => Refused,
        "try:\n    open('1')\nexcept ValueError:\n    pass" => Raises("NameError", "open"),
        "try:\n    eval('1')\nexcept ValueError:\n    pass" => Raises("NameError", "eval"),
        "try:\n    exec('1')\nexcept ValueError:\n    pass" => Raises("NameError", "exec"),
        "try:\n    input('1')\nexcept ValueError:\n    pass" => Raises("NameError", "input"),
        "try:\n    __import__('1')\nexcept ValueError:\n    pass" => Raises("NameError", "__import__"),
        "try:\n    globals('1')\nexcept ValueError:\n    pass" => Raises("NameError", "globals");
    "`bytearray`, `memoryview`, `issubclass`, `super`, `dir`, `ascii`, `ConnectionError` and other exceptions that nothing here raises":
        "return bytearray([])" => Refused,
        "return memoryview([])" => Refused,
        "return issubclass([])" => Refused,
        "return super([])" => Refused,
        "return dir([])" => Refused,
        "return ascii([])" => Refused,
        "raise ConnectionError('a')" => Refused,
        "raise UnicodeError('a')" => Refused,
        "try:\n    bytearray([])\nexcept ValueError:\n    pass" => Raises("NameError", "bytearray"),
        "try:\n    memoryview([])\nexcept ValueError:\n    pass" => Raises("NameError", "memoryview"),
        "try:\n    issubclass([])\nexcept ValueError:\n    pass" => Raises("NameError", "issubclass"),
        "try:\n    super([])\nexcept ValueError:\n    pass" => Raises("NameError", "super"),
        "try:\n    dir([])\nexcept ValueError:\n    pass" => Raises("NameError", "dir"),
        "try:\n    ascii([])\nexcept ValueError:\n    pass" => Raises("NameError", "ascii"),
        "try:\n    raise ConnectionError('a')\nexcept ValueError:\n    pass" => Raises("NameError", "ConnectionError");
    "`time.sleep`":
        "import time\ntime.sleep(1)" => Raises("PermissionError", "");
    "`db` in what is handed to `list.sort`, `itertools` or `defaultdict`, or in a method such as `__eq__`":
        "x = [2, 1]\nx.sort(key=lambda n: db.count({}))\nreturn x" => Raises("NotImplementedError", ""),
        "import itertools\nreturn list(itertools.accumulate([1, 2], lambda a, b: db.count({})))" => Raises("NotImplementedError", ""),
        "from collections import defaultdict\nreturn defaultdict(lambda: db.count({}))['a']" => Raises("NotImplementedError", ""),
        "class A:\n    def __eq__(self, other):\n        return db.count({}) == 0\nreturn A() == A()" => Raises("NotImplementedError", "");
    "`getattr(text, \"upper\")`":
        "return getattr('a', 'upper')()" => Raises("AttributeError", "upper"),
        "return getattr('a', 'upper', None)" => Raises("TypeError", "upper");
    "`match.start(\"name\")`, `span`, `end` with a name":
        "m = re.match('(?P<name>a)', 'a')\nreturn m.start('name')" => Raises("IndexError", ""),
        "m = re.match('(?P<name>a)', 'a')\nreturn m.span('name')" => Raises("IndexError", ""),
        "m = re.match('(?P<name>a)', 'a')\nreturn m.end('name')" => Raises("IndexError", ""),
        "m = re.match('(?P<name>a)', 'a')\nreturn m.start(1)" => Answer("0");
    "a class with `__getitem__` in a `for`":
        "class A:\n    def __getitem__(self, at):\n        return [1][at]\nfor x in A():\n    pass" => Raises("TypeError", "");
    "methods of dates, patterns and matches that are not called where they stand: `datetime.now` without brackets":
        "from datetime import datetime\nnow = datetime.now" => Raises("AttributeError", "now"),
        "text = datetime.date.today().isoformat" => Raises("AttributeError", "isoformat"),
        "find = re.compile('a').search" => Raises("AttributeError", "search"),
        "group = re.match('a', 'a').group" => Raises("AttributeError", "group");
    "patterns and texts of `re` that are `bytes`":
        "re.compile(b'a')" => Raises("TypeError", ""),
        "re.search('a', b'a')" => Raises("TypeError", "");
    "`import` of what a module hasn't: `functools.cmp_to_key`, `collections.ChainMap`, `typing.NamedTuple`, `dataclasses.asdict`, `replace`":
        "from functools import cmp_to_key\nreturn 1" => Raises("ImportError", "cmp_to_key"),
        "from collections import ChainMap\nreturn 1" => Raises("ImportError", "ChainMap"),
        "from typing import NamedTuple\nreturn 1" => Raises("ImportError", "NamedTuple"),
        "from dataclasses import asdict\nreturn 1" => Raises("ImportError", "asdict"),
        "from dataclasses import replace\nreturn 1" => Raises("ImportError", "replace");
    "`re.VERBOSE`, `Pattern.match` with a position, `Match.groups(default)`, `lastgroup`, `expand`, `date.isocalendar`, `toordinal`, `timetuple`, `int.bit_length`, `from_bytes`, `to_bytes`, `(5).real`, `str.format_map`, `string.Template`, `string.capwords`, `JSONDecodeError.msg`, `e.__cause__`, `obj.__dict__`, attributes of functions (`f.__name__`, `f.__doc__`, your own), `@dataclass(order=True)`, other encodings than ASCII, UTF-8, UTF-16 and UTF-32":
        "re.compile('a', re.VERBOSE)" => Raises("", "VERBOSE"),
        "re.compile('a').match('ba', 1)" => Raises("", "Pattern.match"),
        "re.match('(a)?', '').groups('x')" => Raises("", "groups"),
        "re.match('(?P<name>a)', 'a').lastgroup" => Raises("", "lastgroup"),
        "re.match('a', 'a').expand('a')" => Raises("", "expand"),
        "datetime.date(2026, 1, 1).isocalendar()" => Raises("", "isocalendar"),
        "datetime.date(2026, 1, 1).toordinal()" => Raises("", "toordinal"),
        "datetime.date(2026, 1, 1).timetuple()" => Raises("", "timetuple"),
        "(5).bit_length()" => Raises("", "bit_length"),
        "int.from_bytes(b'a', 'big')" => Raises("", "from_bytes"),
        "(5).to_bytes(1, 'big')" => Raises("", "to_bytes"),
        "(5).real" => Raises("", "real"),
        "'{a}'.format_map({'a': 1})" => Raises("", "format_map"),
        "import string\nstring.Template('a')" => Raises("", "Template"),
        "import string\nstring.capwords('a')" => Raises("", "capwords"),
        "try:\n    json.loads('{')\nexcept json.JSONDecodeError as e:\n    e.msg" => Raises("", "msg"),
        "try:\n    int('x')\nexcept ValueError as e:\n    e.__cause__" => Raises("", "__cause__"),
        "class A:\n    pass\nA().__dict__" => Raises("", "__dict__"),
        "def f(): pass\nf.__name__" => Raises("", "__name__"),
        "def f(): pass\nf.__doc__" => Raises("", "__doc__"),
        "def f(): pass\nf.calls = 1" => Raises("", "calls"),
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass A:\n    x: int" => Raises("", "order"),
        "'a'.encode('latin-1')" => Raises("", "latin-1"),
        "b'a'.decode('cp1252')" => Raises("", "cp1252"),
        "return [''.encode(name).hex() for name in ('ascii', 'utf-8', 'utf-16', 'utf-32')]" => Answer("[\"\",\"\",\"fffe\",\"fffe0000\"]");
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

/// What stands between quotation marks, without the backticks that set code apart.
fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('"')
        .skip(1)
        .step_by(2)
        .map(|text| text.replace('`', ""))
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
        for text in quoted(says).filter(|text| !told.contains(text.as_str())) {
            wrong.push(format!("{row}: nothing says {text:?}\n{told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
