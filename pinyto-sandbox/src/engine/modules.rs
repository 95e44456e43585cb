//! Which modules and built-in functions code may use.

use monty_types::SANDBOX_MODULE_NAMES;

/// In scope without an import.
pub(super) const IN_SCOPE: [&str; 4] = ["json", "re", "math", "datetime"];

/// Modules of the interpreter that mean nothing here, or that reach outside.
const HIDDEN: [&str; 6] = ["asyncio", "gc", "os", "pathlib", "posixpath", "sys"];

/// Built-in functions of the interpreter that mean nothing here, or that reach outside.
pub(super) const HIDDEN_FUNCTIONS: [&str; 3] = ["open", "eval", "exec"];

/// Why a module can't be imported; `None` if it can.
pub(super) fn missing(name: &str) -> Option<String> {
    let top = name.split('.').next().unwrap_or(name);
    if hidden(name) {
        return Some(format!(
            "No module named '{top}': an assembly reaches nothing outside of itself but db and factory"
        ));
    }
    if SANDBOX_MODULE_NAMES.contains(&name) || matches!(name, "string" | "__future__") {
        return None;
    }
    let instead = match top {
        "requests" | "urllib" | "http" | "httpx" | "aiohttp" => {
            "use factory.create(\"Http\"), whose post encodes a form".to_owned()
        }
        "logging" | "traceback" => "use print, which goes to the assembly's log".to_owned(),
        "threading" | "concurrent" => "an assembly does one thing after the other".to_owned(),
        "bs4" | "html" | "lxml" | "xml" => "use factory.create(\"ParseHtml\", html)".to_owned(),
        "socket" | "ssl" | "subprocess" | "ctypes" | "importlib" | "multiprocessing" | "signal"
        | "shutil" | "tempfile" | "io" | "builtins" | "inspect" | "pickle" | "sqlite3" => {
            "an assembly reaches nothing outside of itself but db and factory".to_owned()
        }
        _ => {
            let there: Vec<&str> = SANDBOX_MODULE_NAMES
                .iter()
                .copied()
                .filter(|name| !hidden(name))
                .chain(["string"])
                .collect();
            format!("there are {}", there.join(", "))
        }
    };
    Some(format!("No module named '{name}': {instead}"))
}

/// Whether the interpreter has the module but code must not see it.
pub(super) fn hidden(name: &str) -> bool {
    HIDDEN.contains(&name.split('.').next().unwrap_or(name))
}

/// What is said about a name that Python has and code must not use; `None` for any other.
pub(super) fn missing_name(name: &str) -> Option<String> {
    let reason = match name {
        "open" => "an assembly has no files",
        "input" | "breakpoint" => "nobody is there to answer",
        "__import__" => "use the import statement",
        "eval" | "exec" | "compile" => "code from data can't be run; json.loads reads data",
        "globals" | "vars" | "exit" | "quit" => "an assembly can't use it",
        "bytearray" | "memoryview" => "use bytes or a list",
        "issubclass" => "classes don't inherit here; use isinstance",
        "super" | "classmethod" | "staticmethod" | "property" => {
            "classes don't inherit here, and have plain methods"
        }
        "ascii" => "use json.dumps",
        "BlockingIOError"
        | "BrokenPipeError"
        | "ChildProcessError"
        | "ConnectionAbortedError"
        | "ConnectionError"
        | "ConnectionRefusedError"
        | "ConnectionResetError"
        | "InterruptedError"
        | "ProcessLookupError" => "use OSError",
        "UnicodeError" | "UnicodeTranslateError" => "use ValueError",
        "FloatingPointError" => "use ArithmeticError",
        "IndentationError" | "TabError" => "use SyntaxError",
        "BufferError" | "EOFError" | "ReferenceError" | "SystemError" | "GeneratorExit"
        | "BaseExceptionGroup" | "ExceptionGroup" => "use Exception",
        "Warning" | "DeprecationWarning" | "RuntimeWarning" | "UserWarning" => "use print",
        "aiter" | "anext" | "StopAsyncIteration" => "async and await can't be used here",
        "dir" | "delattr" | "help" => "an assembly can't use it",
        _ => return None,
    };
    Some(format!("name '{name}' is not defined: {reason}"))
}
