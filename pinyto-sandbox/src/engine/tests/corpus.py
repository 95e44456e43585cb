# Bodies of functions whose answers have to be the same here and in CPython.
# ====
return 1
# ====
return "text as it is"
# ====
return None
# ====
return [1, 2.5, True, None, "x", {"a": [1, (2, 3)]}]
# ====
return {1: "a", 2.5: "b", None: "c", False: "d"}
# ====
a, b = 1, 2
a, b = b, a
first, *rest = [1, 2, 3]
*init, last = "xyz"
(c, d), e = (1, 2), 3
return [a, b, first, rest, init, last, c, d, e]
# ====
x = y = 3
x += 1
x -= 2
x *= 5
x //= 3
x **= 2
x %= 4
x |= 8
x &= 12
x ^= 5
x <<= 2
x >>= 1
return [x, y]
# ====
return [7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 / 2, 2 ** 10, 2 ** -1, divmod(-7, 3), abs(-3), round(2.5), round(3.14159, 2), pow(2, 5, 7)]
# ====
return [1 < 2 < 3, 1 < 3 < 2, not 1, 1 and 2, 0 or 3, 1 if 0 else 2, 3 is None, None is None, 1 in [1], "a" not in "b"]
# ====
out = []
for i in range(5):
    if i == 1:
        continue
    if i == 4:
        break
    out.append(i)
else:
    out.append("else")
return out
# ====
out = []
for i in range(2):
    out.append(i)
else:
    out.append("else")
return out
# ====
n = 0
while n < 3:
    n += 1
else:
    n += 100
return n
# ====
n = 0
while True:
    n += 1
    if n > 5:
        break
else:
    n = -1
return n
# ====
try:
    raise KeyError("k")
except (ValueError, KeyError) as e:
    r = [type(e).__name__, str(e), e.args[0]]
else:
    r = ["else"]
finally:
    r.append("finally")
return r
# ====
try:
    x = 1
except Exception:
    r = "except"
else:
    r = "else"
finally:
    x = 2
return [r, x]
# ====
def f():
    try:
        return 1
    finally:
        out.append("f")
out = []
return [f(), out]
# ====
def f():
    for i in range(3):
        try:
            continue
        finally:
            out.append(i)
out = []
f()
return out
# ====
try:
    try:
        1 / 0
    except ZeroDivisionError as e:
        raise ValueError("v") from e
except ValueError as e:
    return str(e)
# ====
try:
    try:
        raise ValueError("inner")
    except ValueError:
        raise
except Exception as e:
    return str(e)
# ====
out = []
for bad in (lambda: int("x"), lambda: [][1], lambda: {}["a"], lambda: 1 / 0, lambda: "a" + 1, lambda: None.x, lambda: undefined_name, lambda: json.loads("{"), lambda: float("abc"), lambda: [].pop(), lambda: "a".index("b"), lambda: {1, 2}.remove(3), lambda: next(iter([])), lambda: b"\xff".decode("utf-8"), lambda: (1, 2).index(5), lambda: dict([1]), lambda: len(5), lambda: {}.popitem(), lambda: int(None), lambda: "x" * "y"):
    try:
        bad()
        out.append("nothing")
    except Exception as e:
        out.append(type(e).__name__)
return out
# ====
out = []
for kind, base in [(KeyError, LookupError), (IndexError, LookupError), (ZeroDivisionError, ArithmeticError), (FileNotFoundError, OSError), (ModuleNotFoundError, ImportError), (RecursionError, RuntimeError)]:
    try:
        raise kind("x")
    except base as e:
        out.append(isinstance(e, base) and isinstance(e, Exception))
return out
# ====
raise ValueError("uncaught")
# ====
assert 1 == 2, "a message"
# ====
def add(a, b=2, *args, c=3, **kwargs):
    return [a, b, list(args), c, kwargs]
return [add(1), add(1, 5, 6, 7, c=8, d=9), add(b=1, a=2), add(*[1, 2], **{"c": 4})]
# ====
def outer():
    n = 0
    def inner():
        nonlocal n
        n += 1
        return n
    inner()
    inner()
    return n
return outer()
# ====
counter = 0
def bump():
    nonlocal counter
    counter += 1
bump()
bump()
return counter
# ====
def setter():
    global shared
    shared = 5
setter()
return shared
# ====
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
return fib(15)
# ====
fs = [lambda x, n=n: x + n for n in range(3)]
return [f(10) for f in fs]
# ====
def compose(*fs):
    def composed(x):
        for f in fs:
            x = f(x)
        return x
    return composed
return compose(lambda x: x + 1, lambda x: x * 2)(3)
# ====
return [[x * y for x in range(3) if x] for y in range(3)]
# ====
return {k: v for k, v in zip("abc", range(3)) if v != 1}
# ====
return sorted({x % 3 for x in range(10)})
# ====
return sum(x * x for x in range(10) if x % 2)
# ====
return [y := 5, y + 1, [z for q in range(3) if (z := q) > 0], z]
# ====
s = "hello world"
return [s[0], s[-1], s[2:5], s[::-1], s[::2], s[-3:], s[:100], s[5:2]]
# ====
l = [0, 1, 2, 3, 4, 5]
l[1:3] = ["a", "b", "c"]
l.append(6)
l.insert(0, -1)
l.extend([7, 8])
l.remove("a")
p = l.pop()
q = l.pop(0)
l.reverse()
return [l, p, q, l.index(5), l.count(0), l + [1], l * 2, [1, 2] < [1, 3], len(l)]
# ====
l = [3, 1, 2]
l.sort()
m = list(l)
l.sort(reverse=True)
l.sort(key=lambda x: -x)
return [l, m, sorted("bca"), sorted([3, 1, 2], reverse=True), sorted(["bb", "a"], key=len), sorted([("b", 1), ("a", 2)], key=lambda p: p[1])]
# ====
d = {"a": 1, "b": 2}
d["c"] = 3
d.update({"d": 4}, e=5)
d.setdefault("f", []).append(6)
e = d.copy()
p = d.pop("a")
q = d.pop("zz", None)
return [d, e, p, q, d.get("b"), d.get("zz"), d.get("zz", 7), list(d), list(d.keys()), list(d.values()), list(d.items()), "b" in d, len(d), {**d, "b": 9}, d | {"x": 1}, dict(a=1), dict([("k", "v")]), dict.fromkeys(["a", "b"], 0)]
# ====
a = {1, 2, 3}
b = {2, 3, 4}
a.add(9)
a.discard(100)
return [sorted(a | b), sorted(a & b), sorted(a - b), sorted(a ^ b), {1} <= a, a.issuperset({1}), sorted(a.union([5])), len(frozenset([1, 1])), 2 in a, sorted(set("hello"))]
# ====
s = " Hello, World "
return [s.strip(), s.lstrip(), s.rstrip(), s.lower(), s.upper(), s.title(), s.swapcase(), s.replace("l", "L", 1), s.split(","), s.split(), "a,b,,c".split(",", 1), "a-b-c".rsplit("-", 1), "x".join(["a", "b"]), s.find("World"), s.find("zz"), s.count("l"), s.startswith(" H"), s.endswith(("x", " ")), "abc".isalpha(), "12".isdigit(), "1a".isalnum(), " ".isspace(), "x".center(5, "*"), "x".ljust(3) + "|", "x".rjust(3), "42".zfill(5), "abc".capitalize(), "a\nb\r\nc".splitlines(), "a=b=c".partition("="), "a=b=c".rpartition("="), "aXbX".rstrip("X"), "prefix-x".removeprefix("prefix-"), "x.py".removesuffix(".py"), "ß".casefold(), "abc".translate({97: "z"}), "tab\tx".expandtabs(4)]
# ====
name, n, f = "Jana", 42, 3.14159
return [f"{name} {n}", f"{n:05d}", f"{f:.2f}", f"{name!r:>10}", f"{n:x}", f"{n:#b}", f"{f:10.3f}|", f"{name:<8}|", f"{name:^8}|", f"{n:,}", f"{1234567:,}", f"{0.256:.1%}", f"{n=}", f"{'nested ' + name}", f"{{}}", f"{f:e}", f"{n:+}", f"{name:.2}", f"{n:>{n - 36}}"]
# ====
return ["%s is %d years and %.2f" % ("x", 5, 1.5), "%05d|%-5s|%5s" % (42, "a", "b"), "%x %o %e" % (255, 8, 1.5), "%(a)s-%(b)s" % {"a": 1, "b": 2}, "%%", "%r" % "q", "%s" % None, "%+d" % 3, "%c" % "x"]
# ====
return ["{} {}".format(1, 2), "{1} {0}".format(1, 2), "{a}".format(a=3), "{:>5}".format("x"), "{0[0]} {0[1]}".format([1, 2]), "{:.3f}".format(1.5), "{!r}".format("x"), "{:,}".format(12345), "{:08.3f}".format(3.14159), "{a[k]}".format(a={"k": 1})]
# ====
b = b"hello"
return [b.decode(), str(b, encoding="utf-8"), str(b, "utf-8"), "é".encode().hex(), list(b), b[0], b[1:3].decode(), len(b), b == b"hello", (b + b"!").decode(), b.upper().decode(), bytes([104, 105]).decode(), bytes(3) == b"\x00\x00\x00", b.startswith(b"he"), bytes.fromhex("6869").decode(), b.find(b"l"), b"a,b".split(b",") == [b"a", b"b"], b"abc".replace(b"b", b"x").decode()]
# ====
return [isinstance(1, int), isinstance(True, int), isinstance("x", (int, str)), isinstance({}, dict), isinstance([], list), isinstance(None, type(None)), isinstance(1.0, float), type(1) is int, type("x") == str, type(b"").__name__, isinstance(b"", bytes), callable(len), callable(5)]
# ====
return [int("42"), int("ff", 16), int(3.9), int(-3.9), int("  7 "), float("1.5"), float("inf") > 1, str(1.0), str(None), str([1, "a"]), str({"a": (1,)}), repr("it's"), bool([]), bool("x"), list("abc"), tuple([1]), list((1, 2)), chr(65), ord("A"), hex(255), oct(8), bin(5), complex(1, 2).imag]
# ====
return [min(3, 1, 2), max([1, 5, 2]), min("b", "a"), max([], default=0), max("aa", "b", key=len), sum([1, 2], 10), any([0, 1]), all([]), list(enumerate("ab", 1)), list(zip([1, 2], "ab")), list(reversed([1, 2])), list(map(lambda x: x * 2, [1, 2])), list(filter(None, [0, 1, 2])), list(range(0, 10, 3)), list(map(str, [1, 2])), list(map(int, "12")), len(range(5)), next(iter([1])), next(iter([]), "default")]
# ====
return [json.loads('{"a": [1, 2.5, null, true, "\\u00e9"]}'), json.dumps({"b": 1, "a": [None, True]}), json.dumps({"b": 1, "a": 2}, sort_keys=True), json.dumps([1], indent=2), json.dumps("é"), json.dumps("é", ensure_ascii=False), json.dumps({"a": 1}, separators=(",", ":")), json.loads("1e3"), json.loads("123456789012345678901234567890")]
# ====
import json as j
from json import dumps, loads
return [j.loads("[1]"), dumps(loads("{}"))]
# ====
try:
    json.loads("{bad")
except json.JSONDecodeError as e:
    return ["decode", isinstance(e, ValueError)]
# ====
try:
    json.loads("nope")
except ValueError:
    return "ValueError"
# ====
m = re.match(r"(\w+)\s+(?P<second>\w+)", "hello world foo")
return [m.group(), m.group(0), m.group(1), m.group("second"), m.groups(), m.start(), m.end(), m.span(1), m.groupdict(), re.search("o", "foo").start(), re.findall(r"\d+", "a1b22"), re.sub(r"\d", "#", "a1b2"), re.sub(r"(\w)(\d)", r"\2\1", "a1b2"), re.split(r"[,;]\s*", "a, b;c"), re.match("x", "y"), bool(re.fullmatch(r"\d+", "123")), [x.group() for x in re.finditer("a.", "abac")], re.compile("A", re.IGNORECASE).findall("aA"), re.sub("a", lambda m: m.group().upper(), "banana"), re.escape("a.b"), re.findall(r"^x", "x\nx", re.M), re.search("a.b", "a\nb", re.DOTALL) is not None]
# ====
import re
return re.sub(r"\s+", " ", "a   b\n c")
# ====
return [math.floor(2.7), math.ceil(2.1), math.sqrt(16), math.pi, math.pow(2, 3), math.log(math.e), math.log10(1000), math.log2(8), math.sin(0), math.gcd(12, 18), math.factorial(5), math.isnan(float("nan")), math.hypot(3, 4), math.trunc(-2.5), math.fabs(-1), math.inf > 5, math.degrees(math.pi), math.comb(5, 2), math.isclose(0.1 + 0.2, 0.3), math.fsum([0.1] * 10), math.prod([1, 2, 3])]
# ====
from math import sqrt, pi as p
return [sqrt(4), p]
# ====
d = datetime.datetime(2024, 2, 28, 12, 30, 15)
e = d + datetime.timedelta(days=2, hours=1)
return [str(d), d.isoformat(), e.isoformat(), d.year, d.month, d.day, d.hour, d.minute, d.second, d.weekday(), d.isoweekday(), d.strftime("%Y-%m-%d %H:%M:%S %A %j"), (e - d).days, (e - d).total_seconds(), str(e - d), d < e, d.date().isoformat(), d.time().isoformat(), d.replace(year=2020).isoformat(), datetime.datetime.strptime("2024-01-02", "%Y-%m-%d").isoformat(), datetime.date(2024, 1, 31).isoformat(), datetime.datetime.fromisoformat("2024-01-02T03:04:05").isoformat(), datetime.datetime.fromisoformat("2024-01-02T03:04:05+00:00").isoformat(), datetime.datetime.fromtimestamp(0, datetime.timezone.utc).isoformat(), datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc).timestamp(), datetime.date(2024, 3, 1) - datetime.date(2024, 2, 1) == datetime.timedelta(29), datetime.timedelta(minutes=90).seconds]
# ====
from datetime import datetime, timedelta, timezone, date
return [datetime(2020, 1, 1, tzinfo=timezone.utc).isoformat(), (date(2020, 1, 1) + timedelta(weeks=1)).isoformat(), datetime.now(timezone.utc).year > 2020, isinstance(datetime.now(), datetime), date.today().year > 2020, datetime.utcnow().year > 2020]
# ====
x = 10
if x > 5 and x < 20:
    r = "mid"
elif x >= 20:
    r = "high"
else:
    r = "low"
return r
# ====
class Point:
    count = 0
    def __init__(self, x, y=0):
        self.x = x
        self.y = y
        Point.count += 1
    def norm(self):
        return (self.x ** 2 + self.y ** 2) ** 0.5
    def __repr__(self):
        return f"Point({self.x}, {self.y})"
    def __eq__(self, other):
        return self.x == other.x and self.y == other.y
    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)
    def __len__(self):
        return 2
    def __getitem__(self, i):
        return [self.x, self.y][i]
    def __contains__(self, v):
        return v in (self.x, self.y)
    def __call__(self, k):
        return self.x * k
p = Point(3, 4)
p.z = 5
return [p.norm(), repr(p), str(p), p == Point(3, 4), (p + Point(1)).x, len(p), p[1], 4 in p, p(2), p.z, Point.count, hasattr(p, "x"), hasattr(p, "nope"), getattr(p, "nope", 1), isinstance(p, Point), type(p).__name__]
# ====
class Manager:
    def __enter__(self):
        out.append("enter")
        return self
    def __exit__(self, kind, value, tb):
        out.append(kind is ValueError)
        return True
out = []
with Manager() as m:
    raise ValueError("x")
return out
# ====
match {"type": "book", "n": 3}:
    case {"type": "book", "n": n} if n > 2:
        return f"book {n}"
    case _:
        return "other"
# ====
match [1, 2, 3]:
    case [1, *rest]:
        return rest
# ====
def f(x: int, y: "str" = "a") -> list:
    z: int = 3
    return [x, y, z]
return f(1)
# ====
"""A docstring."""
x = 1 ; y = 2
if x: y = 3
return (x +
        y)
# ====
def f():
    """doc"""
    pass
return f()
# ====
return [0x1f, 0b101, 0o17, 1_000, 1e3, 1.5e-3, .5, 5., 10 ** 20, 2 ** 100, -2 ** 63, 9223372036854775807 + 1]
# ====
return ["a" "b", 'single', "tab\t", r"raw\n", "\x41\u00e9\U0001F600", """multi
line""", "line \
continued", '"', "it's"]
# ====
s = 0
for i, (a, b) in enumerate([(1, 2), (3, 4)]):
    s += i * a + b
return s
# ====
x = [1, 2, 3]
y = x
z = x[:]
y.append(4)
return [x, z, x is y, x is z, x == z + [4]]
# ====
import copy
a = {"x": [1]}
b = copy.deepcopy(a)
c = copy.copy(a)
b["x"].append(2)
c["x"].append(3)
return [a, b, c]
# ====
from collections import Counter, defaultdict, namedtuple, deque
c = Counter("banana")
d = defaultdict(list)
d["k"].append(1)
P = namedtuple("P", "x y")
q = deque([1, 2, 3], maxlen=3)
q.append(4)
return [c.most_common(1), c["z"], dict(d), P(1, 2).x, P(1, 2)._asdict(), list(q), q.popleft()]
# ====
import itertools, functools
return [list(itertools.chain([1], [2])), list(itertools.islice(itertools.count(), 3)), [(k, list(g)) for k, g in itertools.groupby("aab")], functools.reduce(lambda a, b: a + b, [1, 2, 3]), list(itertools.permutations([1, 2])), list(itertools.product("a", [1, 2])), list(itertools.accumulate([1, 2, 3])), functools.partial(int, base=2)("101")]
# ====
import hashlib, base64
return [hashlib.sha256(b"x").hexdigest(), hashlib.md5(b"").hexdigest(), base64.b64encode(b"hi").decode(), base64.b64decode("aGk=").decode(), base64.urlsafe_b64encode(b"\xff\xfe").decode()]
# ====
from decimal import Decimal
return [str(Decimal("0.1") + Decimal("0.2")), str(Decimal("1.50").quantize(Decimal("0.1"))), float(Decimal("2.5"))]
# ====
import bisect
l = [1, 3, 5]
bisect.insort(l, 4)
return [bisect.bisect_left(l, 3), l]
# ====
from dataclasses import dataclass, field
@dataclass
class Item:
    name: str
    tags: list = field(default_factory=list)
    n: int = 0
i = Item("x")
i.tags.append("t")
return [i.name, i.tags, i == Item("x", ["t"]), i != Item("y")]
# ====
def deco(f):
    def wrapped(*args):
        return ["wrapped", f(*args)]
    return wrapped
@deco
def g(x):
    return x + 1
return g(1)
# ====
x = {"a": 1, "b": 2}
del x["a"]
l = [1, 2, 3, 4, 5]
del l[0]
del l[-1], l[0:1]
return [x, l]
# ====
d = {"a": {"b": [1, 2]}}
del d["a"]["b"][0]
try:
    del d["zz"]
except KeyError as e:
    return [d, str(e)]
# ====
l = [1]
try:
    del l[5]
except IndexError:
    return "IndexError"
# ====
a = 1
b = 2
del a, b
a = 3
return a
# ====
d = {(1, 2): "x", 3: "y"}
del d[1, 2]
del (d[3])
return d
# ====
return sorted(["b", "A", "c"], key=str.lower)
# ====
scores = {"a": 3, "b": 1, "c": 2}
return [sorted(scores, key=scores.get), max(scores, key=scores.get), list(map(str.strip, [" a ", "b "]))]
# ====
out = []
add = out.append
for i in range(3):
    add(i)
join = ", ".join
return [out, join(["a", "b"])]
# ====
words = "The quick brown Fox".split()
upper = str.upper
return [list(map(upper, words)), list(filter(str.istitle, words)), {k: f() for k, f in {"u": words[0].upper, "l": words[0].lower}.items()}]
# ====
class C:
    def __init__(self):
        self.items = [1]
        self.count = 5
    def get(self):
        return self.count
c = C()
g = c.get
return [c.items, c.count, g(), c.get()]
# ====
try:
    raise ValueError("a", 1)
except ValueError as e:
    return str(e)
# ====
try:
    raise RuntimeError(42)
except RuntimeError as e:
    return str(e)
# ====
message = {"why": "this"}
try:
    raise ValueError(message)
except Exception as e:
    return str(e)
# ====
raise LookupError("no " + "thing")
# ====
e = ValueError("kept")
try:
    raise e
except ValueError as caught:
    return [str(caught), caught is e, repr(caught), caught.args]
# ====
try:
    raise ValueError
except ValueError as e:
    return [str(e), e.args]
# ====
def f(*, key): return key
try:
    f(1)
except TypeError as e:
    return "TypeError"
# ====
def f():
    x = 1
    def g():
        return x
    x = 2
    return g()
return f()
# ====
x = 5
def f():
    try:
        return x
    finally:
        pass
return [f(), (lambda: x)()]
# ====
def f():
    print(y)
    y = 1
try:
    f()
except UnboundLocalError:
    return "UnboundLocalError"
# ====
return [i for i in range(20) if i % 2 == 0 if i % 3 == 0]
# ====
m = [[1, 2], [3, 4]]
return [list(row) for row in zip(*m)] + [sum(m, [])]
# ====
return [1, 2, *[3, 4], *(5,)] + list({**{"a": 1}, **{"b": 2}})
# ====
def f(a, /, b, *, c): return [a, b, c]
return f(1, b=2, c=3)
# ====
n = 10
result = []
while n:
    n, digit = divmod(n, 2)
    result.append(digit)
return result
# ====
text = "the cat the dog"
counts = {}
for word in text.split():
    counts[word] = counts.get(word, 0) + 1
return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
# ====
docs = [{"type": "a", "data": {"n": 2}}, {"type": "b", "data": {}}, {"type": "a", "data": {"n": 1}}]
return [d["data"].get("n", 0) for d in sorted(docs, key=lambda d: d.get("data", {}).get("n", 0)) if d["type"] in ("a", "b")]
# ====
try:
    x = int(request_is_not_defined)
except NameError as e:
    return str(e)
# ====
return [round(0.1 + 0.2, 10), 0.1 + 0.2, 1e100, 1e-5, 123456789.123, 1 / 3, 100.0, 1e16, 1.5e300 * 1e5, -0.0]
# ====
return json.dumps([0.1, 1e100, 1e16, 123456789012345680.0, 1e-7, 5e-324])
# ====
return [int(1e20), 10 ** 30 // 7, -(10 ** 30) % 7,  True + True, 5 .__class__.__name__]
# ====
return [str(True), str(1e5), str(1e-5), repr(0.1), f"{1e20}", "%s" % 1.0, f"{10**20}"]
# ====
return ["a" < "b", [1, 2] == [1, 2], (1,) + (2,), "ab" * 2, 3 * [0], "b" in {"b": 1}, {"a": 1} == {"a": 1.0}, 1 == 1.0, "1" == 1]
# ====
a = [1, 2, 3, 4, 5]
a[::2] = [10, 30, 50]
return [a, a[-2:], a[::-2], a[slice(1, 3)]]
# ====
x = None
return [x or "default", x is None, (x and x.y), x if x else "no", [] or {} or 0]
# ====
s = set()
s.update([1, 2, 3])
s -= {1}
return [sorted(s), s.pop() in (2, 3), s.isdisjoint({9})]
# ====
it = iter([1, 2, 3])
out = [next(it)]
out.extend(it)
out.append(next(it, "end"))
return out
# ====
z = zip([1, 2, 3], "ab")
return [list(z), list(z), list(zip()), dict(zip("ab", [1, 2]))]
# ====
def gcd(a, b):
    while b:
        a, b = b, a % b
    return a
return [gcd(48, 18), "%d%%" % 50]
# ====
import random
random.seed(42)
return [random.randint(1, 100), round(random.random(), 10), random.choice("abc"), random.sample(range(10), 3)]
# ====
import time
return [time.time() > 1e9, isinstance(time.time(), float), time.strftime("%Y", time.gmtime(0))]
# ====
from typing import Optional, List, Dict, Any
def f(x: Optional[int] = None) -> List[Dict[str, Any]]:
    return [{"x": x}]
return f()
# ====
try:
    import nonexistent_module_xyz
except ImportError as e:
    return "ImportError"
# ====
try:
    from json import nothing_like_that
except ImportError:
    return "ImportError"
# ====
return [x for x in "a b".split() for y in (1, 2)]
# ====
class A:
    pass
a = A()
a.x = 1
setattr(a, "y", 2)
return [a.x, getattr(a, "y"), hasattr(a, "z")]
# ====
d = {}
d["x"], d["y"] = 1, 2
l = [0, 0]
l[0], l[1] = l[1], 5
d["l"] = l
d["l"][0] += 7
return d
# ====
for x in []:
    pass
else:
    x = "never bound before"
return x
# ====
x = "outer"
r = [x for x in "ab"]
return [x, r]
# ====
return " ".join(str(n) for n in range(3)) + ",".join(sorted({"b", "a"}))
# ====
return ["é".upper(), "straße".title(), "ǆ".capitalize(), len("😀"), "😀é"[::-1], "ñ".encode("utf-8").hex(), "\u0130".lower() == "i̇"]
# ====
return sorted([None, 1], key=lambda x: (x is not None, x))
# ====
import csv
return list(csv.reader(["a,b", '"x,y",z']))
# ====
import unicodedata
return unicodedata.normalize("NFD", "é") == "e\u0301"
# ====
f = lambda *a, **k: [list(a), k]
return f(1, 2, x=3)
# ====
return (lambda n: [n, n + 1])(5) if True else None
# ====
def f(n):
    if n == 0:
        return "done"
    return f(n - 1)
return f(100)
# ====
x = 3
x: int = 4
y = (x := x + 1) * 2
return [x, y, ...is Ellipsis]
# ====
return [*range(3)], {*"a"} == {"a"}, (1, *[2])
# ====
try:
    raise Exception("plain")
except BaseException as e:
    return [type(e).__name__, str(e), e.args]
# ====
a = "x"
return {"a": a, f"{a}y": [a] * 2, **({"c": 1} if a else {})}
# ====
n = 0
for i in range(3):
    for j in range(3):
        if j == 2:
            break
        n += i * j
    else:
        n = -100
return n
# ====
return [list(range(5, 0, -2)), list(range(0)), range(10)[3], 3 in range(5), range(3) == range(0, 3), sum(range(101))]
# ====
try:
    {[]: 1}
except TypeError as e:
    return str(e).startswith("unhashable") or "unhashable" in str(e)
# ====
return ["abc".find("c"), "a,b".split(","), "x" in "xyz", "%s" % [1], "abc".index("b"), "aaa".replace("a", "b"), "{}".format({}), str(()), repr((1,)), "a\\b", "\N{BULLET}"]
# ====
return format(3.14159, ".2f") + format(255, "x") + format("a", ">3")
# ====
total = 0
for doc in [{"v": "1"}, {"v": "x"}, {}]:
    try:
        total += int(doc["v"])
    except ValueError:
        total += 100
    except KeyError:
        total += 1000
return total
# ====
first = next((d for d in [{"n": 1}, {"n": 2}] if d["n"] > 1), None)
g = (x * 2 for x in [1, 2, 3])
pairs = zip([1, 2], "ab")
return [first, next(g), list(g), list(g), next(pairs), list(pairs), next(map(str, [1])), next(enumerate("a"))]
# ====
try:
    raise ValueError("x")
except Exception as e:
    return [type(e).__name__, isinstance(e, ValueError), isinstance(e, KeyError)]
# ====
from collections import (Counter,
    OrderedDict, defaultdict as dd)
o = OrderedDict(a=1)
o["b"] = 2
return [o, Counter("aab"), dd(list), list(o)]
# ====
import string
return [string.digits, string.ascii_lowercase, string.punctuation, string.whitespace == " \t\n\r\x0b\x0c", string.printable]
# ====
return re.sub(r"(\w)-(\w)", lambda m: m.group(2) + m.group(1), "a-b c-d") + re.compile("x").sub(lambda m: "y", "xxx", 2) + re.sub("a", "b", "aa", count=1)
# ====
return ["a-b_c".translate(str.maketrans("-_", "  ")), "abc".translate({ord("a"): None}), "abc".translate(str.maketrans({"a": "xy"}))]
# ====
return json.dumps({"at": datetime.datetime(2020, 1, 2), "n": [1, (2,)]}, default=str)
# ====
from datetime import datetime
return [datetime.utcfromtimestamp(86400).isoformat(), datetime.utcnow().tzinfo is None, datetime.today().year > 2000]
# ====
class Bag:
    def __init__(self): self.items = []
    def __len__(self): return 7
    def add(self, x): self.items.append(x)
b = Bag()
add = b.add
add(1)
return [len(b), len("abc"), b.items]
# ====
class A(object):
    x = 1
return A().x
# ====
return [bytes([104, 105]).decode(), bytes(b"x").decode(), bytes((0, 255)).hex(), len(bytes(2))]
# ====
x = {"a": 1}
return [x.__class__.__name__, "s".__class__ is str]
# ====
values = [" b", "a "]
strip = str.strip
return [[strip(v) for v in values], sorted(map(str.strip, values)), (values
    .index)("a "), [f("x") for f in ["axb".count, "axb".find]]]
# ====
def f(exc): raise exc("x %d" % 1)
try:
    f(KeyError)
except KeyError as e:
    return str(e)
# ====
raise KeyError("missing")
# ====
raise IndexError("a", "b")
# ====
x = 1
while x < 100: x *= 2
if x > 100: del x; x = 5
return x
# ====
def f(items=[], *, last=None):
    items.append(len(items))
    return items
return [list(f()), f(), f([9])]
# ====
text = """line one
    indented
	tabbed
"""
return text.splitlines() + [f"""{text.count("i")}
  x""", '''a\
b''']
# ====
return [x if x % 2 else -x for x in range(5)] + ["%s=%s" % pair for pair in {"a": 1}.items()] + [not x for x in (0, 1)]
# ====
result = {}
for key, group in [("a", [1, 2]), ("b", [])]:
    result[key] = {"sum": sum(group), "max": max(group, default=None), "avg": sum(group) / len(group) if group else None}
return result
# ====
# Names that are also those of what is supplied behind the code.
def _min(xs): return ["my _min", xs]
def _sorted(xs, key=None): return ["my _sorted", xs]
def _translate(text, table): return ["my _translate", text]
def _sub(a, b): return ["my _sub", a, b]
_dumps = "my _dumps"
_bound = [1]
def count(n): return db_count.count(n)
class Box:
    def count(self, n): return n * 2
db_count = Box()
return [_min([2, 1]), _sorted([2, 1]), _translate("a", {}), _sub(1, 2), _dumps, _bound, min([2, 1]), sorted([2, 1], key=count), "abc".translate({97: "x"}), re.sub("a", lambda m: "b", "a"), json.dumps({1, }, default=list), max([1, 2], key=count)]
# ====
def _pinyto_min(xs): return "mine"
_pinyto_sorted = 1
_pinyto1_sub = 2
class Box:
    def count(self, n): return n
def key(n): return Box().count(-n)
return [_pinyto_min(1), _pinyto_sorted, _pinyto1_sub, min([1, 2], key=key), sorted([1, 2], key=key), re.sub("a", lambda m: "b", "a")]
# ====
class Page:
    def __init__(self): self.log = []
    def translate(self, a, b=2, *, c=3): return ["translate", a, b, c]
    def today(self, *args, **named): return ["today", args, named]
    def sub(self, receiver=None, repl=None): return ["sub", receiver, repl]
    def utcnow(self): return ["utcnow"]
    def maketrans(self, x, y, z, more): return ["maketrans", x, y, z, more]
    def fromtimestamp(self, kind, seconds=None): return ["fromtimestamp", kind, seconds]
    def utcfromtimestamp(self): return ["utcfromtimestamp"]
    def dumps(self, value, default=None): return ["dumps", value, default]
    def values(self, named, args): return ["values", named, args]
    def extend(self, values): return next(values)
    def join(self, values): return next(values)
page = Page()
return [
    page.translate(1), page.translate(1, 5, c=6), page.today(1, kind=2), page.sub(receiver=1, repl=2), page.sub(),
    page.utcnow(), page.maketrans(1, 2, 3, more=4), page.fromtimestamp(1, seconds=2), page.utcfromtimestamp(),
    page.dumps(1, default=2), (page.values)(named=1, args=2), page.extend(x for x in [7]), page.join(map(str, [8])),
]
# ====
class Module:
    def sub(self, *args): return ["my sub", len(args)]
    def dumps(self, value, default): return ["my dumps", value]
    def datetime(self): return 1
re = Module()
json = Module()
datetime = Module()
return [re.sub("a", lambda m: "b", "a"), json.dumps(1, default=1), datetime.datetime(), "ab".translate({97: "x"})]
# ====
type = "book"
iter = 5
dict = 6
from collections import OrderedDict
found = {"values": 1, "items": 2, "get": 3}
gen = (x for x in [1, 2])
return [type, iter, dict, next(gen), next(gen), list(OrderedDict([("a", 1)]).items()), found["values"], (1).__class__.__name__, "a".__class__ == "b".__class__]
# ====
class Counter:
    def __init__(self): self.count, self.index, self.values, self.items, self.title = 1, 2, 3, 4, 5
    def upper(self): return "UP"
counter = Counter()
up, low = counter.upper, "A".lower
pick = {"a": 1}.get
form = "{o}{a}".format
return [counter.count, counter.index, counter.values, counter.items, counter.title, up(), low(), pick("a"), pick("b", 2), form(o=1, a=2)]
# ====
def f(value):
    match value:
        case {"min": min, **max}: return [min, max]
        case [sorted, *map]: return [sorted, map]
        case str() as filter: return filter
        case callable: return callable
return [f({"min": 1, "b": 2}), f([1, 2, 3]), f("x"), f(4)]
# ====
class Shelf:
    def __init__(self): self.gone = []
    def __delitem__(self, key): self.gone.append(key)
shelf = Shelf()
del shelf["a"], shelf[3]
numbers = list(range(10))
del numbers[::3]
del numbers[(1):(3)], numbers[-1]
all_of = [1, 2]
del all_of[:]
slice = 1
data = {"a": 1, "b": 2}
del data["a"]
out = []
try:
    del numbers[100]
except IndexError as e:
    out.append(str(e))
return [shelf.gone, numbers, all_of, data, out]
# ====
name = "x"
when = datetime.date(2024, 5, 6)
class Box:
    def count(self, n): return -n
return [f"{'a-b'.translate({45: None})}", f"{re.sub('a', lambda m: m.group().upper(), 'banana')}", f"{sorted([1, 2], key=lambda n: Box().count(n))}", f"{len('abc')=}", f"{list(map(str, [1]))!r:>8}", f'{next(iter(x for x in [3]))}', f"{json.dumps({'a': when}, default=str)}"]
# ====
def translate(text): return "mine " + text
def today(): return "my day"
sub = lambda *args: len(args)
dumps = "d"
return [translate("x"), today(), sub(1, 2, 3), dumps, "x".translate({120: "y"})]
# ====
def run(_min, _re, _json, json, re):
    return [_min, _re, _json, json, re, "x".translate({120: "y"})]
return [run(1, 2, 3, 4, 5), re.sub("a", lambda m: "b", "a")]
# ====
class Box:
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
empty, full = Box(0), Box(2)
out = []
if empty: out.append("if")
elif full: out.append("elif")
while empty: out.append("while")
out.append("a" if empty else "b")
out.append(not empty)
out.append([x.n for x in [empty, full] if x])
out.append((empty or full).n)
out.append((full and empty).n)
out.append((empty or Box(0) or (full)).n)
out.append((empty and full or Box(7)).n)
out.append(bool(empty))
out.append([any([empty]), all([full, empty]), any(x for x in [full])])
x = (empty
     or full)
out.append(x.n)
out.append([y for y in ([] or [1, 2])])
out.append([(a or 5) for a in [0, 1]])
out.append((lambda a: a or 3)(0))
out.append({"a": 0 or 1, "b": [] and 2, "c": "x" and "y" and "z", "d": None or 0 or ""})
out.append(f"{empty or 'none'}"[:4])
def f(a=None or 4): return a
out.append(f())
match 5:
    case n if empty: out.append("guard")
    case n if full and n: out.append("match")
assert full
if empty and full or not full: out.append("bad")
if (z := full) and z: out.append(z.n)
return out
# ====
class No:
    def __bool__(self): return False
no = No()
return [1 if no else 2, bool(no), not no, (no or 3), [x for x in [no, 1] if x] == [1], no is no]
# ====
from re import sub, subn as count_subs, compile
from json import dumps as d, loads
from functools import wraps, reduce
def deco(f):
    @wraps(f)
    def g(*a): return f(*a) + 1
    return g
@deco
def h(x): return x
return [sub("a", lambda m: "c", "aa"), sub("a", "b", "aa", count=1), count_subs("a", "x", "aaa", 2), re.subn("a", lambda m: "q", "aa"), d({1}, default=list), d({"a": 1}, indent=1), h(1), compile("a").subn("b", "a")]
# ====
return [re.sub("a", r"\n\t\\n", "a"), re.sub(r"(a)", r"\1\n\g<1>", "a"), re.compile("a").sub(r"\r", "a"), re.sub("a", "\\\\", "a"), re.sub("A", r"\n", "a", flags=re.I)]
# ====
s = {1}
s.update([2], (3,))
d = {}
d.update({"a": 1}, b=2)
f = frozenset([1, 2])
class Mine:
    def update(self, a, b): return [a, b]
    def union(self, *a): return list(a)
return [sorted(s), d, sorted(s.union([4], [5])), sorted(f.union({7}, {8})), sorted({1, 2, 3}.intersection([1, 2], [2])), sorted({1, 2, 3}.difference([1], [2])), Mine().update(1, 2), Mine().union(1, 2, 3), sorted(set().union(*[[1], [2, 3]])), sorted({5}.union(*[])), Mine().update(*[1, 2])]
# ====
class Own:
    def __init__(self): self.a = 1
    def f(self): return 2
own = Own()
return [hasattr("", "upper"), hasattr([], "append"), hasattr({}, "items"), hasattr([], "upper"), hasattr([], "__iter__"), hasattr("", "__len__"), hasattr(1, "__len__"), hasattr(datetime.date(2024, 1, 1), "isoformat"), hasattr(datetime.date(2024, 1, 1), "hour"), hasattr(datetime.datetime(2024, 1, 1), "hour"), hasattr(len, "__call__"), hasattr(1, "__call__"), hasattr(own, "a"), hasattr(own, "f"), hasattr(own, "g"), getattr(own, "a"), getattr(own, "b", 5), getattr(own, "f")(), getattr({}, "x", 6), hasattr(None, "items"), hasattr((1,), "append"), hasattr(b"", "decode"), hasattr({1}, "add")]
# ====
try:
    raise OSError("x")
except IOError as e:
    return str(e)
# ====
class partial: pass
class function: pass
class method:
    def __call__(self): return 1
import functools
@functools.cache
def cached(x): return x
def plain(): pass
bound = method().__call__
return [callable(x) for x in (partial(), function(), method(), partial, function, method, cached, plain, bound, lambda: 1, functools.partial(len), functools.lru_cache(plain), len, int, ValueError, "".upper, json.dumps, 1, "a", None)]
# ====
class No:
    def __bool__(self): return False
class Empty:
    def __len__(self): return 0
no, empty = No(), Empty()
return [list(filter(None, [no, 1, empty, 0, ""])), list(filter(lambda x: no, [1, 2])), list(filter(lambda x: [x], [1, 2]))]
# ====
import functools, collections
def deco(f):
    @functools.wraps(f)
    def g(*a): return f(*a) + 1
    return g
@deco
def h(x): return x
class Own:
    def wraps(self, a, b=0): return [a, b]
    def OrderedDict(self, a): return [a]
return [h(1), collections.OrderedDict([("a", 1)], b=2), Own().wraps(1, b=2), Own().OrderedDict(3)]
