//! What the interpreter lacks and Python code of ours supplies.

use std::collections::BTreeSet;

const TEXT: &str = include_str!("supplement.py");

/// Functions of Python that are replaced wherever they are named.
pub(super) const ALWAYS: [(&str, &str); 1] = [("callable", "_callable")];

/// Functions of Python that can't call a function which calls a service.
pub(super) const CALLING: [(&str, &str); 5] = [
    ("sorted", "_sorted"),
    ("map", "_map"),
    ("filter", "_filter"),
    ("min", "_min"),
    ("max", "_max"),
];

/// Methods that are replaced wherever they are called.
pub(super) const METHODS: [(&str, &str); 7] = [
    ("utcnow", "_utcnow"),
    ("today", "_today"),
    ("fromtimestamp", "_fromtimestamp"),
    ("utcfromtimestamp", "_utcfromtimestamp"),
    ("translate", "_translate"),
    ("maketrans", "_maketrans"),
    ("sub", "_sub"),
];

/// Methods of Python's own types, which the interpreter knows only where they are called.
pub(super) const VALUES: &str = " add append as_integer_ratio capitalize casefold center clear \
    copy count decode difference discard encode endswith expandtabs extend find format get hex \
    index insert intersection isalnum isalpha isascii isdecimal isdigit isdisjoint isidentifier \
    islower isnumeric isprintable isspace issubset issuperset istitle isupper items join keys \
    ljust lower lstrip partition pop popitem remove removeprefix removesuffix replace reverse \
    rfind rindex rjust rpartition rsplit rstrip setdefault sort split splitlines startswith strip \
    swapcase title union update upper values zfill ";

/// The text of the functions named, with what they need of each other, and the modules they use.
pub(super) fn text(mut names: BTreeSet<&'static str>) -> (String, BTreeSet<&'static str>) {
    if names.contains("_dumps") {
        names.insert("_plain");
    }
    let mut text = String::new();
    let mut modules = BTreeSet::new();
    for function in TEXT.split("\n\n\n").skip(1) {
        let name = function
            .strip_prefix("def ")
            .and_then(|rest| rest.split('(').next());
        if !name.is_some_and(|name| names.contains(name)) {
            continue;
        }
        text.push_str(function);
        text.push_str("\n\n");
        for module in ["datetime", "re"] {
            if function.contains(&format!("{module}.")) {
                modules.insert(module);
            }
        }
    }
    (text, modules)
}
