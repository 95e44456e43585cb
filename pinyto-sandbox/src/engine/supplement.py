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


def _pinyto_imported_dumps():
    return lambda *args, **named: _pinyto_dumps(_pinyto_json, *args, **named)


def _pinyto_imported_sub():
    return lambda *args, **named: _pinyto_sub(_pinyto_re, *args, **named)


def _pinyto_imported_subn():
    return lambda *args, **named: _pinyto_subn(_pinyto_re, *args, **named)


def _pinyto_imported_wraps():
    return lambda wrapped: lambda wrapper: wrapper


def _pinyto_wraps(_pinyto_it, *args, **named):
    if type(_pinyto_it) is type(_pinyto_functools):
        return lambda wrapper: wrapper
    return _pinyto_it.wraps(*args, **named)


def _pinyto_OrderedDict(_pinyto_it, *args, **named):
    if type(_pinyto_it) is type(_pinyto_functools):
        return dict(*args, **named)
    return _pinyto_it.OrderedDict(*args, **named)


def _pinyto_truth(value, /):
    if hasattr(value, "__bool__"):
        return value.__bool__()
    if hasattr(value, "__len__"):
        return value.__len__() != 0
    return bool(value)


def _pinyto_any(values, /):
    for value in values:
        if _pinyto_truth(value):
            return True
    return False


def _pinyto_all(values, /):
    for value in values:
        if not _pinyto_truth(value):
            return False
    return True


def _pinyto_hasattr(value, name, /):
    return hasattr(value, name) or _pinyto_knows(value, name)


def _pinyto_getattr(value, name, /, *default):
    if default and not hasattr(value, name) and _pinyto_knows(value, name):
        raise TypeError(f"getattr can't give the method {name} here: write it behind a dot")
    return getattr(value, name, *default)


def _pinyto_knows(value, name):
    if name == "__call__":
        return _pinyto_callable(value)
    series = " __contains__ __getitem__ __iter__ __len__ "
    text = series + (
        "capitalize center count endswith expandtabs find index isalnum isalpha isascii isdigit islower "
        "isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace rfind "
        "rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title translate "
        "upper zfill "
    )
    date = " ctime day isoformat isoweekday month replace strftime today weekday year "
    kinds = (
        (str, text + "casefold encode format isdecimal isidentifier isnumeric isprintable "),
        (bytes, text + "decode fromhex hex "),
        (list, series + "__delitem__ __setitem__ append clear copy count extend index insert pop remove reverse sort "),
        (dict, series + "__delitem__ __setitem__ clear copy get items keys pop popitem setdefault update values "),
        (tuple, series + "count index "),
        (set, " __contains__ __iter__ __len__ add clear copy difference discard intersection isdisjoint issubset issuperset pop remove union update "),
        (frozenset, " __contains__ __iter__ __len__ copy difference intersection isdisjoint issubset issuperset union "),
        (range, series + "count index "),
        (_pinyto_datetime.datetime, date + "astimezone date fromtimestamp hour microsecond minute now second time timestamp tzinfo utcoffset "),
        (_pinyto_datetime.date, date),
        (_pinyto_datetime.timedelta, " days microseconds seconds total_seconds "),
    )
    for kind, names in kinds:
        if isinstance(value, kind):
            return f" {name} " in names
    return False


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
    return [item for item in items if _pinyto_truth(item if function is None else function(item))]


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
    known = (_pinyto_callable, len, int, _pinyto_functools.partial(len), _pinyto_functools.cache(len))
    return any([type(value) is type(one) for one in known]) or hasattr(value, "__call__")


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
    if isinstance(repl, str) and "\\" in repl and "string" in given:
        rest = [given.get("count", 0), given.get("flags", 0)] if is_module else [given.get("count", 0)]
        first = [given["pattern"]] if is_module else []
        return _pinyto_it.sub(*first, _pinyto_template(repl), given["string"], *rest)
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


def _pinyto_template(text):
    letters = {"\\n": "\n", "\\t": "\t", "\\r": "\r", "\\f": "\f", "\\v": "\v", "\\a": "\a"}
    out, at = [], 0
    while at < len(text):
        step = 2 if text[at] == "\\" else 1
        part = text[at:at + step]
        out.append(letters.get(part, part))
        at += step
    return "".join(out)


def _pinyto_subn(_pinyto_it, *args, **named):
    if type(_pinyto_it) is type(_pinyto_re):
        given = dict(zip(("pattern", "repl", "string", "count", "flags"), args))
        given.update(named)
        pattern = _pinyto_re.compile(given["pattern"], given.get("flags", 0))
    elif isinstance(_pinyto_it, _pinyto_re.Pattern):
        given = dict(zip(("repl", "string", "count"), args))
        given.update(named)
        pattern = _pinyto_it
    else:
        return _pinyto_it.subn(*args, **named)
    count = given.get("count", 0)
    number = len(list(pattern.finditer(given["string"])))
    text = _pinyto_sub(pattern, given["repl"], given["string"], count)
    return text, min(number, count) if count else number


def _pinyto_update(_pinyto_it, *others, **named):
    if not isinstance(_pinyto_it, set):
        return _pinyto_it.update(*others, **named)
    for other in others:
        _pinyto_it.update(other)


def _pinyto_union(_pinyto_it, *others, **named):
    if not isinstance(_pinyto_it, (set, frozenset)):
        return _pinyto_it.union(*others, **named)
    for other in others:
        _pinyto_it = _pinyto_it.union(other)
    return _pinyto_it


def _pinyto_intersection(_pinyto_it, *others, **named):
    if not isinstance(_pinyto_it, (set, frozenset)):
        return _pinyto_it.intersection(*others, **named)
    for other in others:
        _pinyto_it = _pinyto_it.intersection(other)
    return _pinyto_it


def _pinyto_difference(_pinyto_it, *others, **named):
    if not isinstance(_pinyto_it, (set, frozenset)):
        return _pinyto_it.difference(*others, **named)
    for other in others:
        _pinyto_it = _pinyto_it.difference(other)
    return _pinyto_it


def _pinyto_dumps(_pinyto_it, *args, **named):
    if type(_pinyto_it) is not type(_pinyto_json):
        return _pinyto_it.dumps(*args, **named)
    default = named.pop("default", None)
    if default is None:
        return _pinyto_json.dumps(*args, **named)
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
