//! Collects what command line, environment and file say, and remembers who said it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command, error::ErrorKind};

use super::ConfigError;
use super::moving::{self, Moving};
use super::table::{Kind, SETTINGS, Setting, find, variable};

/// Where a setting's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything else.
    Default,
    /// This TOML file.
    File(PathBuf),
    /// A `PINYTO_*` variable.
    Environment,
    /// An option.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment => f.write_str("environment"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

pub(super) enum Given {
    Print(String),
    Task(Task, Values),
}

/// What the server is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Serve,
    Check,
    Migrate,
    Move(Moving),
}

pub(super) struct Value {
    pub(super) text: String,
    pub(super) origin: Origin,
}

/// The strongest value of every setting that has one.
pub(super) struct Values(BTreeMap<&'static str, Value>);

impl Values {
    /// All settings in the table's order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Option<&Value>)> {
        SETTINGS
            .iter()
            .map(|setting| (setting.name, self.0.get(setting.name)))
    }

    /// The setting as its author wrote it: `--listen`, `PINYTO_LISTEN`, or `listen in FILE`.
    pub(super) fn name(&self, name: &str) -> String {
        match self.0.get(name).map(|value| &value.origin) {
            Some(Origin::Environment) => variable(name),
            Some(Origin::File(path)) => format!("{name} in {}", path.display()),
            Some(Origin::Default | Origin::CommandLine) | None => format!("--{name}"),
        }
    }

    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        parse(&value.text)
            .map(Some)
            .map_err(|wanted| ConfigError::new(format!("{} must be {wanted}.", self.name(name))))
    }

    pub(super) fn required<T>(
        &self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, ConfigError> {
        self.optional(name, parse)?
            .ok_or_else(|| ConfigError::new(format!("--{name} must be given.")))
    }
}

pub(super) fn collect(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Given, ConfigError> {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return in_one_sentence(&error),
    };
    // A subcommand's matches also have what was given before it.
    let (task, matches) = match matches.subcommand() {
        Some(("migrate", matches)) => (Task::Migrate, matches),
        Some(("check", matches)) => (Task::Check, matches),
        Some((name, matches)) => (Task::Move(Moving::read(name, matches)?), matches),
        None => (Task::Serve, &matches),
    };
    let environment = read_environment(environment)?;

    let mut values = BTreeMap::new();
    for setting in SETTINGS {
        if let Some(text) = setting.default {
            values.insert(
                setting.name,
                Value {
                    text: text.to_owned(),
                    origin: Origin::Default,
                },
            );
        }
    }
    let file = matches
        .get_one::<String>("config")
        .or_else(|| environment.get("PINYTO_CONFIG"));
    if let Some(file) = file {
        read_file(Path::new(file), &mut values)?;
    }
    for setting in SETTINGS {
        if let Some(text) = environment.get(&setting.variable()) {
            let text = text.clone();
            values.insert(
                setting.name,
                Value {
                    text,
                    origin: Origin::Environment,
                },
            );
        }
        if let Some(text) = matches.get_one::<String>(setting.name) {
            let text = text.clone();
            values.insert(
                setting.name,
                Value {
                    text,
                    origin: Origin::CommandLine,
                },
            );
        }
    }
    Ok(Given::Task(task, Values(values)))
}

fn command() -> Command {
    let options = SETTINGS.iter().map(|setting| {
        let option = Arg::new(setting.name)
            .long(setting.name)
            .value_name(setting.placeholder)
            .help(help(setting));
        match setting.kind {
            // `--trust-proxy` alone switches on.
            Kind::Flag => option
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("on"),
            Kind::Text | Kind::Number | Kind::Decimal | Kind::List | Kind::Switch => {
                option.num_args(1)
            }
        }
        .action(ArgAction::Set)
        .global(true)
    });
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .num_args(1)
        .global(true)
        .help(
            "TOML file with settings; its keys are these options' names without the \
         dashes\n[env: PINYTO_CONFIG]",
        );
    Command::new("pinyto-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A personal cloud database: this is the server.")
        .after_help(
            "An option beats its environment variable, which beats the file, which beats the \
             default.\nSignals: SIGTERM or SIGINT finishes running requests and ends, a second \
             one ends at once; SIGHUP reads the TLS certificate again.",
        )
        .args(options)
        .arg(file)
        .subcommand(
            Command::new("check")
                .about("Examine settings, key and database, and say what the server would do"),
        )
        .subcommand(
            Command::new("migrate").about("Bring the tables of the database up to date, and end"),
        )
        .subcommands(moving::commands())
        .disable_help_subcommand(true)
}

fn help(setting: &Setting) -> String {
    let default = setting.default.unwrap_or("not set");
    format!(
        "{}\n[default: {default}] [env: {}]",
        setting.help,
        setting.variable()
    )
}

fn in_one_sentence(error: &clap::Error) -> Result<Given, ConfigError> {
    let text = error.to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Ok(Given::Print(text));
    }
    let first = text.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    Err(ConfigError::new(format!(
        "{first}; pinyto-server --help lists the options."
    )))
}

fn read_environment(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut variables = BTreeMap::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("PINYTO_")) else {
            continue;
        };
        if value.is_empty() || name.starts_with("PINYTO_TEST_") {
            continue;
        }
        let is_known = SETTINGS.iter().any(|setting| setting.variable() == name);
        if !is_known && name != "PINYTO_CONFIG" {
            return Err(ConfigError::new(format!(
                "The variable {name} belongs to no setting; pinyto-server --help lists them all."
            )));
        }
        let value = value
            .into_string()
            .map_err(|_| ConfigError::new(format!("{name} must be valid UTF-8.")))?;
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

fn read_file(path: &Path, values: &mut BTreeMap<&'static str, Value>) -> Result<(), ConfigError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new(format!(
            "The configuration file {shown} can't be read: {error}."
        ))
    })?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| {
        let position = error.span().map_or(0, |span| span.start);
        let before = text.as_bytes().get(..position).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let what = error
            .message()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned();
        ConfigError::new(format!("Line {line} of {shown} is not valid TOML: {what}."))
    })?;
    for (key, value) in table {
        let Some(setting) = find(&key) else {
            let hint = find(&key.replace('_', "-"))
                .map(|setting| format!(", but there is {:?}", setting.name))
                .unwrap_or_default();
            return Err(ConfigError::new(format!(
                "{shown} has the unknown key {key:?}{hint}."
            )));
        };
        let text = as_text(setting.kind, value)
            .map_err(|wanted| ConfigError::new(format!("{key} in {shown} must be {wanted}.")))?;
        let origin = Origin::File(path.to_owned());
        values.insert(setting.name, Value { text, origin });
    }
    Ok(())
}

const LIST: &str = "a list of texts in quotes";

fn as_text(kind: Kind, value: toml::Value) -> Result<String, &'static str> {
    match (kind, value) {
        (Kind::Text | Kind::List | Kind::Switch | Kind::Flag, toml::Value::String(text)) => {
            Ok(text)
        }
        (Kind::Switch | Kind::Flag, toml::Value::Boolean(on)) => {
            Ok(if on { "on" } else { "off" }.to_owned())
        }
        (Kind::Number | Kind::Decimal, toml::Value::Integer(number)) => Ok(number.to_string()),
        (Kind::Decimal, toml::Value::Float(number)) => Ok(number.to_string()),
        (Kind::List, toml::Value::Array(parts)) => {
            let parts: Option<Vec<&str>> = parts.iter().map(toml::Value::as_str).collect();
            parts.map(|parts| parts.join(",")).ok_or(LIST)
        }
        (Kind::Text, _) => Err("text in quotes"),
        (Kind::Switch | Kind::Flag, _) => Err("true or false"),
        (Kind::Number, _) => Err("a whole number without quotes"),
        (Kind::Decimal, _) => Err("a number without quotes"),
        (Kind::List, _) => Err(LIST),
    }
}
