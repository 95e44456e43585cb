# What the interpreter lacks, in Python. Functions are put behind the author's code when it uses
# them; two empty lines separate them. Names of ours begin with an underscore.


def _delete_item(container, key):
    if isinstance(container, (dict, list)):
        container.pop(key)
    else:
        raise TypeError(f"'{type(container).__name__}' object doesn't support item deletion")


def _bound(value, name, call):
    try:
        return getattr(value, name)
    except AttributeError:
        kinds = (str, bytes, list, dict, set, frozenset, tuple, int, float)
        if isinstance(value, kinds):
            return lambda *args, **named: call(value, *args, **named)
        if any([value is kind for kind in kinds]):
            return call
        raise


def _said(*args):
    if len(args) == 1:
        return args[0] if isinstance(args[0], str) else str(args[0])
    return str(args)


def _sorted(items, *, key=None, reverse=False):
    items = list(items)
    if key is None:
        return sorted(items, reverse=reverse)
    keys = [key(item) for item in items]
    return [items[at] for at in sorted(range(len(items)), key=lambda at: keys[at], reverse=reverse)]


def _map(function, *iterables):
    if len(iterables) == 1:
        return [function(item) for item in iterables[0]]
    return [function(*items) for items in zip(*iterables)]


def _filter(function, items):
    return [item for item in items if (item if function is None else function(item))]


def _min(*args, key=None, **others):
    items = list(args[0]) if len(args) == 1 else list(args)
    if key is None or not items:
        return min(items, **others)
    keys = [key(item) for item in items]
    return items[keys.index(min(keys))]


def _max(*args, key=None, **others):
    items = list(args[0]) if len(args) == 1 else list(args)
    if key is None or not items:
        return max(items, **others)
    keys = [key(item) for item in items]
    return items[keys.index(max(keys))]


def _len(value):
    return value.__len__() if hasattr(value, "__len__") else len(value)


def _bytes(value):
    if not isinstance(value, (list, tuple, set, range)):
        return bytes(value)
    if any([not 0 <= number < 256 for number in value]):
        raise ValueError("bytes must be in range(0, 256)")
    return bytes.fromhex("".join([f"{number:02x}" for number in value]))


def _callable(value):
    kinds = ("function", "builtin_function_or_method", "type", "method", "functools.partial", "partial")
    return type(value).__name__ in kinds or hasattr(value, "__call__")


def _utcnow(kind):
    if kind is datetime.datetime:
        return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    return kind.utcnow()


def _today(kind):
    return datetime.datetime.now() if kind is datetime.datetime else kind.today()


def _fromtimestamp(kind, seconds, tz=None):
    at = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    if kind is datetime.date:
        return at.date()
    if kind is datetime.datetime:
        return at.replace(tzinfo=None) if tz is None else at.astimezone(tz)
    return kind.fromtimestamp(seconds, tz)


def _utcfromtimestamp(kind, seconds):
    if kind is datetime.datetime:
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return kind.utcfromtimestamp(seconds)


def _translate(text, table):
    if not isinstance(text, str):
        return text.translate(table)
    out = []
    for letter in text:
        new = table.get(ord(letter), letter)
        if new is not None:
            out.append(chr(new) if isinstance(new, int) else new)
    return "".join(out)


def _maketrans(kind, x, y=None, z=""):
    if kind is not str:
        return kind.maketrans(x, y)
    if y is None:
        return {(ord(k) if isinstance(k, str) else k): v for k, v in x.items()}
    if len(x) != len(y):
        raise ValueError("the first two maketrans arguments must have equal length")
    table = {ord(a): ord(b) for a, b in zip(x, y)}
    for letter in z:
        table[ord(letter)] = None
    return table


def _sub(receiver, *args, **named):
    if receiver is re:
        given = dict(zip(("pattern", "repl", "string", "count", "flags"), args))
    elif isinstance(receiver, re.Pattern):
        given = dict(zip(("repl", "string", "count"), args))
    else:
        return receiver.sub(*args, **named)
    given.update(named)
    repl = given.get("repl")
    if repl is None or isinstance(repl, (str, bytes)):
        return receiver.sub(*args, **named)
    pattern = receiver
    if receiver is re:
        pattern = re.compile(given["pattern"], given.get("flags", 0))
    text, left, at, out = given["string"], given.get("count", 0), 0, []
    for match in pattern.finditer(text):
        out.append(text[at:match.start()])
        out.append(repl(match))
        at = match.end()
        left -= 1
        if left == 0:
            break
    out.append(text[at:])
    return text[:0].join(out)


def _dumps(module, value, *, default=None, **named):
    return module.dumps(_plain(value, default), **named)


def _plain(value, default):
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {name: _plain(member, default) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(member, default) for member in value]
    return value if default is None else _plain(default(value), default)
