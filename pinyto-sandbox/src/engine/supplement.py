# What the interpreter lacks, in Python. Functions are put behind the author's code when it uses
# them; two empty lines separate them. Names of ours begin with _pinyto_, or with another prefix
# if the author's text contains that one. A method of ours is called with whatever the author's
# text calls that method on: what isn't of the type it is meant for gets its own method.


def _pinyto_delete_item(container, key):
    if isinstance(container, list) and isinstance(key, slice):
        gone = set(list(range(len(container)))[key])
        container[:] = [item for at, item in enumerate(container) if at not in gone]
    elif isinstance(container, list):
        if not -len(container) <= key < len(container):
            raise IndexError("list assignment index out of range")
        container.pop(key)
    elif isinstance(container, dict):
        container.pop(key)
    elif hasattr(container, "__delitem__"):
        container.__delitem__(key)
    else:
        raise TypeError(f"'{type(container).__name__}' object doesn't support item deletion")


def _pinyto_bound(value, name, call):
    try:
        return getattr(value, name)
    except AttributeError:
        kinds = (str, bytes, list, dict, set, frozenset, tuple, int, float)
        if isinstance(value, kinds):
            return lambda *args, **named: call(value, *args, **named)
        if any([value is kind for kind in kinds]):
            return call
        raise


def _pinyto_class(value):
    return type(value)


def _pinyto_iter(values):
    return iter(values)


def _pinyto_dict():
    return dict


def _pinyto_slice(start, stop, step):
    return slice(start, stop, step)


def _pinyto_missing(message):
    raise ModuleNotFoundError(message)


def _pinyto_said(*args):
    if len(args) == 1:
        return args[0] if isinstance(args[0], str) else str(args[0])
    return str(args)


def _pinyto_sorted(items, /, *, key=None, reverse=False):
    items = list(items)
    if key is None:
        return sorted(items, reverse=reverse)
    keys = [key(item) for item in items]
    return [items[at] for at in sorted(range(len(items)), key=lambda at: keys[at], reverse=reverse)]


def _pinyto_map(function, /, *iterables):
    if len(iterables) == 1:
        return [function(item) for item in iterables[0]]
    return [function(*items) for items in zip(*iterables)]


def _pinyto_filter(function, items, /):
    return [item for item in items if (item if function is None else function(item))]


def _pinyto_min(*args, key=None, **others):
    items = list(args[0]) if len(args) == 1 else list(args)
    if key is None or not items:
        return min(items, **others)
    keys = [key(item) for item in items]
    return items[keys.index(min(keys))]


def _pinyto_max(*args, key=None, **others):
    items = list(args[0]) if len(args) == 1 else list(args)
    if key is None or not items:
        return max(items, **others)
    keys = [key(item) for item in items]
    return items[keys.index(max(keys))]


def _pinyto_len(value, /):
    return value.__len__() if hasattr(value, "__len__") else len(value)


def _pinyto_bytes(value):
    if not isinstance(value, (list, tuple, set, range)):
        return bytes(value)
    if any([not 0 <= number < 256 for number in value]):
        raise ValueError("bytes must be in range(0, 256)")
    return bytes.fromhex("".join([f"{number:02x}" for number in value]))


def _pinyto_callable(value, /):
    kinds = ("function", "builtin_function_or_method", "type", "method", "functools.partial", "partial")
    return type(value).__name__ in kinds or hasattr(value, "__call__")


def _pinyto_utcnow(_pinyto_it, *args, **named):
    if _pinyto_it is _pinyto_datetime.datetime:
        return _pinyto_it.now(_pinyto_datetime.timezone.utc).replace(tzinfo=None)
    return _pinyto_it.utcnow(*args, **named)


def _pinyto_today(_pinyto_it, *args, **named):
    if _pinyto_it is _pinyto_datetime.datetime:
        return _pinyto_it.now()
    return _pinyto_it.today(*args, **named)


def _pinyto_at(seconds):
    moment = _pinyto_datetime.datetime(1970, 1, 1, tzinfo=_pinyto_datetime.timezone.utc)
    return moment + _pinyto_datetime.timedelta(seconds=seconds)


def _pinyto_fromtimestamp(_pinyto_it, *args, **named):
    if _pinyto_it is _pinyto_datetime.date:
        return _pinyto_at(*args).date()
    if _pinyto_it is _pinyto_datetime.datetime:
        return _pinyto_local(*args, **named)
    return _pinyto_it.fromtimestamp(*args, **named)


def _pinyto_local(timestamp, tz=None):
    at = _pinyto_at(timestamp)
    return at.replace(tzinfo=None) if tz is None else at.astimezone(tz)


def _pinyto_utcfromtimestamp(_pinyto_it, *args, **named):
    if _pinyto_it is _pinyto_datetime.datetime:
        return _pinyto_at(*args).replace(tzinfo=None)
    return _pinyto_it.utcfromtimestamp(*args, **named)


def _pinyto_translate(_pinyto_it, *args, **named):
    if not isinstance(_pinyto_it, str):
        return _pinyto_it.translate(*args, **named)
    return _pinyto_translated(_pinyto_it, *args, **named)


def _pinyto_translated(text, table, /):
    out = []
    for letter in text:
        new = table.get(ord(letter), letter)
        if new is not None:
            out.append(chr(new) if isinstance(new, int) else new)
    return "".join(out)


def _pinyto_maketrans(_pinyto_it, *args, **named):
    if _pinyto_it is str or isinstance(_pinyto_it, str):
        return _pinyto_table(*args, **named)
    return _pinyto_it.maketrans(*args, **named)


def _pinyto_table(x, y=None, z="", /):
    if y is None:
        return {(ord(k) if isinstance(k, str) else k): v for k, v in x.items()}
    if len(x) != len(y):
        raise ValueError("the first two maketrans arguments must have equal length")
    table = {ord(a): ord(b) for a, b in zip(x, y)}
    for letter in z:
        table[ord(letter)] = None
    return table


def _pinyto_sub(_pinyto_it, *args, **named):
    is_module = type(_pinyto_it) is type(_pinyto_re)
    if is_module:
        given = dict(zip(("pattern", "repl", "string", "count", "flags"), args))
    elif isinstance(_pinyto_it, _pinyto_re.Pattern):
        given = dict(zip(("repl", "string", "count"), args))
    else:
        return _pinyto_it.sub(*args, **named)
    given.update(named)
    repl = given.get("repl")
    if repl is None or isinstance(repl, (str, bytes)):
        return _pinyto_it.sub(*args, **named)
    pattern = _pinyto_it
    if is_module:
        pattern = _pinyto_re.compile(given["pattern"], given.get("flags", 0))
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


def _pinyto_dumps(_pinyto_it, *args, **named):
    if type(_pinyto_it) is not type(_pinyto_json):
        return _pinyto_it.dumps(*args, **named)
    default = named.pop("default")
    if "obj" in named:
        named["obj"] = _pinyto_plain(named["obj"], default)
        return _pinyto_it.dumps(**named)
    return _pinyto_it.dumps(_pinyto_plain(args[0], default), *args[1:], **named)


def _pinyto_plain(value, default):
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, dict):
        return {name: _pinyto_plain(member, default) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_pinyto_plain(member, default) for member in value]
    return value if default is None else _pinyto_plain(default(value), default)
