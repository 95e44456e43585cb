//! What the interpreter lacks and Python code of ours supplies.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use unicode_normalization::UnicodeNormalization;

const TEXT: &str = include_str!("supplement.py");

/// What names of ours begin with in [`TEXT`].
const WRITTEN: &str = "_pinyto_";

/// What every prefix of ours begins with; a number and an underscore follow.
const STEM: &str = "_pinyto";

/// Functions of Python that are replaced wherever they are named.
pub(super) const ALWAYS: [&str; 3] = ["callable", "getattr", "hasattr"];

/// Functions of Python that can't call a function which calls a service.
pub(super) const CALLING: [&str; 5] = ["sorted", "map", "filter", "min", "max"];

/// Functions of Python that ask whether objects are true, which can't be an author's own then.
pub(super) const JUDGING: [&str; 3] = ["all", "any", "filter"];

/// Methods that are replaced where they are called with several arguments.
pub(super) const SEVERAL: [&str; 4] = ["difference", "intersection", "union", "update"];

/// What is supplied in the place of what a module has: module, name, function that gives it.
pub(super) const IMPORTED: [(&str, &str, &str); 5] = [
    ("collections", "OrderedDict", "dict"),
    ("functools", "wraps", "imported_wraps"),
    ("json", "dumps", "imported_dumps"),
    ("re", "sub", "imported_sub"),
    ("re", "subn", "imported_subn"),
];

/// Methods that are replaced wherever they are called.
pub(super) const METHODS: [&str; 10] = [
    "OrderedDict",
    "wraps",
    "utcnow",
    "today",
    "fromtimestamp",
    "utcfromtimestamp",
    "translate",
    "maketrans",
    "sub",
    "subn",
];

/// Methods of Python's own types, which the interpreter knows only where they are called.
pub(super) const VALUES: &str = " add append as_integer_ratio capitalize casefold center clear \
    copy count decode difference discard encode endswith expandtabs extend find format get hex \
    index insert intersection isalnum isalpha isascii isdecimal isdigit isdisjoint isidentifier \
    islower isnumeric isprintable isspace issubset issuperset istitle isupper items join keys \
    ljust lower lstrip partition pop popitem remove removeprefix removesuffix replace reverse \
    rfind rindex rjust rpartition rsplit rstrip setdefault sort split splitlines startswith strip \
    swapcase title union update upper values zfill ";

/// Names of Python that the functions rely on, so that code can't give the whole program another
/// meaning of them.
pub(super) const RELIED_ON: [&str; 32] = [
    "AttributeError",
    "IndexError",
    "ModuleNotFoundError",
    "NameError",
    "TypeError",
    "ValueError",
    "any",
    "bool",
    "bytes",
    "chr",
    "dict",
    "enumerate",
    "float",
    "frozenset",
    "getattr",
    "hasattr",
    "int",
    "isinstance",
    "iter",
    "len",
    "list",
    "max",
    "min",
    "ord",
    "range",
    "set",
    "slice",
    "sorted",
    "str",
    "tuple",
    "type",
    "zip",
];

/// Modules that the functions use.
const MODULES: [&str; 4] = ["datetime", "functools", "json", "re"];

/// What names of ours begin with beside an author's text: it contains no name that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix(String);

impl Prefix {
    /// The prefix to use beside `code`.
    pub(super) fn beside(code: &str) -> Self {
        // Python compares names in this form.
        let code: Cow<'_, str> = if code.is_ascii() {
            code.into()
        } else {
            code.nfkc().collect::<String>().into()
        };
        let taken: BTreeSet<u64> = code
            .match_indices(STEM)
            .filter_map(|(at, _)| {
                let rest = &code[at + STEM.len()..];
                let end = rest.find(|c: char| !c.is_ascii_digit())?;
                let (number, rest) = rest.split_at(end);
                match (rest.starts_with('_'), number) {
                    (false, _) => None,
                    (true, "") => Some(0),
                    // One with more digits is none that is ever used.
                    (true, number) => number.parse().ok(),
                }
            })
            .collect();
        let free = (0..)
            .find(|number| !taken.contains(number))
            .unwrap_or_default();
        Self(if free == 0 {
            WRITTEN.to_owned()
        } else {
            format!("{STEM}{free}_")
        })
    }

    /// A name of ours.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    /// A text of the interpreter's with our names as the author knows them.
    pub(super) fn hidden<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if text.contains(&self.0) {
            text.replace(&self.0, "").into()
        } else {
            text.into()
        }
    }

    /// The text of the functions named, with what they need of each other and of modules.
    pub(super) fn supplement(&self, names: &BTreeSet<&'static str>) -> String {
        let functions: BTreeMap<&str, &'static str> = TEXT
            .split("\n\n\n")
            .filter_map(|function| Some((name(function.strip_prefix("def ")?)?, function)))
            .collect();
        let (mut text, mut modules) = (String::new(), BTreeSet::new());
        let (mut put, mut wanted) = (BTreeSet::new(), Vec::from_iter(names.iter().copied()));
        while let Some(next) = wanted.pop() {
            if MODULES.contains(&next) {
                modules.insert(next);
            } else if let Some(function) = functions.get(next)
                && put.insert(next)
            {
                text.push_str(function);
                text.push_str("\n\n");
                wanted.extend(
                    function
                        .match_indices(WRITTEN)
                        .filter_map(|(at, _)| name(function.get(at..)?)),
                );
            }
        }
        let imports = modules
            .into_iter()
            .map(|module| format!("import {module} as {WRITTEN}{module}\n"));
        let text = imports.collect::<String>() + &text;
        if self.0 == WRITTEN {
            text
        } else {
            text.replace(WRITTEN, &self.0)
        }
    }
}

/// The name of ours that a text of ours begins with.
fn name(text: &'static str) -> Option<&'static str> {
    let rest = text.strip_prefix(WRITTEN)?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_prefix_is_one_that_the_text_does_not_contain() {
        for (code, prefix) in [
            ("", "_pinyto_"),
            ("_pinyto = 1", "_pinyto_"),
            ("_pinyto1_x = 1", "_pinyto_"),
            ("_pinyto_x = 1", "_pinyto1_"),
            ("x_pinyto_ = 1", "_pinyto1_"),
            ("'_pinyto_' + '_pinyto1_' + '_pinyto3_'", "_pinyto2_"),
            ("_ｐinyto_sub = 1", "_pinyto1_"),
        ] {
            assert_eq!(Prefix::beside(code), Prefix(prefix.to_owned()), "{code}");
        }
    }

    #[test]
    fn what_a_function_needs_comes_with_it() {
        let text = Prefix::beside("_pinyto_").supplement(&BTreeSet::from(["dumps", "today"]));
        for part in [
            "import json as _pinyto1_json\n",
            "import datetime as _pinyto1_datetime\n",
            "def _pinyto1_dumps(",
            "def _pinyto1_plain(",
            "def _pinyto1_today(",
        ] {
            assert!(text.contains(part), "{part}");
        }
        for part in ["_pinyto_", "def _pinyto1_sub(", "import re"] {
            assert!(!text.contains(part), "{part}");
        }
    }

    #[test]
    fn all_of_pythons_that_is_called_is_known_to_be_relied_on() {
        let called = TEXT.match_indices('(').filter_map(|(at, _)| {
            let before = &TEXT[..at];
            let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            let is_method = before[..=start].ends_with('.');
            let name = &before[start + 1..];
            (!is_method && !name.is_empty() && !name.starts_with(WRITTEN)).then_some(name)
        });
        let arguments = ["call", "default", "function", "key", "repl"];
        let keywords = ["else", "if", "in"];
        for name in called {
            let known = arguments.contains(&name) || keywords.contains(&name);
            assert!(known || RELIED_ON.contains(&name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_contains_its_prefix(code in "(_pinyto[0-9]{0,2}_?|[a-z_ \n]|ｐ){0,60}") {
            let prefix = Prefix::beside(&code);
            prop_assert!(!code.contains(&prefix.0));
            prop_assert!(!code.nfkc().collect::<String>().contains(&prefix.0));
        }
    }
}
