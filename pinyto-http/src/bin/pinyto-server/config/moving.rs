//! The commands that move data out of the database or into it.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command};
use pinyto_core::{assembly::AssemblyRef, user::UserName};

use super::ConfigError;

/// The longest line that `import-user` reads unless told otherwise, in bytes: it holds a document of
/// any length that requests have by default.
pub(crate) const IMPORTED_LINE: usize = 4 << 20;

/// What is to be moved, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Moving {
    /// All of the database into a file.
    Backup {
        /// Where the backup goes.
        file: Place,
    },
    /// All of a file into an empty database.
    Restore {
        /// Where the backup is.
        file: Place,
        /// `--end-sessions`: everybody has to log in again.
        end_sessions: bool,
        /// `--max-line-mib`: the longest line that is read, in bytes.
        max_line: usize,
    },
    /// Nothing: look whether a file could be restored.
    CheckBackup {
        /// Where the backup is.
        file: Place,
        /// `--max-line-mib`: the longest line that is read, in bytes.
        max_line: usize,
    },
    /// One user into a file.
    ExportUser {
        /// Who.
        user: UserName,
        /// Where it goes.
        file: Place,
    },
    /// One user, or documents, out of a file.
    ImportUser {
        /// Where it is.
        file: Place,
        /// `--user`: whose it becomes; by default the user's whom the file names, if she is not
        /// here yet.
        user: Option<UserName>,
        /// `--assembly`: where documents go that have no assembly here.
        assembly: Option<AssemblyRef>,
        /// `--type`: of documents that have none.
        kind: Option<String>,
        /// `--max-line-mib`: the longest line that is read, in bytes.
        max_line: usize,
    },
}

/// Where data comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `-`: stdin or stdout.
    Standard,
    /// A file.
    File(PathBuf),
}

impl Place {
    fn of(text: &str) -> Self {
        match text {
            "-" => Self::Standard,
            path => Self::File(path.into()),
        }
    }
}

/// As they stand on the command line.
pub(super) fn commands() -> Vec<Command> {
    let file = |help: &'static str| {
        Arg::new("file")
            .value_name("FILE")
            .required(true)
            .help(help)
    };
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name(value)
            .num_args(1)
            .help(help)
    };
    let max_line = |default: &'static str, help: &'static str| {
        option("max-line-mib", "MIB", help).default_value(default)
    };
    let max_row = || {
        let help = "The longest line that is read; reading it takes a few times as much memory";
        max_line("64", help)
    };
    vec![
        Command::new("backup")
            .about("Write everything in the database to a file, also while servers use it")
            .arg(file("Where it goes; - is stdout")),
        Command::new("restore")
            .about("Put a backup into an empty database, of whichever kind either is")
            .arg(file("The backup; - is stdin"))
            .arg(
                Arg::new("end-sessions")
                    .long("end-sessions")
                    .action(ArgAction::SetTrue)
                    .help("Leave sessions out: everybody has to log in again"),
            )
            .arg(max_row()),
        Command::new("check-backup")
            .about("Read a backup to its end and say what is in it, without any database")
            .arg(file("The backup; - is stdin"))
            .arg(max_row()),
        Command::new("export-user")
            .about("Write one user's public keys, assemblies and documents as lines of JSON")
            .arg(
                Arg::new("name")
                    .value_name("NAME")
                    .required(true)
                    .help("Whose"),
            )
            .arg(
                Arg::new("file")
                    .value_name("FILE")
                    .default_value("-")
                    .help("Where it goes; - is stdout"),
            ),
        Command::new("import-user")
            .about("Take what export-user has written, or documents that mongoexport has")
            .arg(file("The lines of JSON; - is stdin"))
            .arg(option(
                "user",
                "NAME",
                "Whose it becomes; by default the user's whom the file names, if she is not here yet",
            ))
            .arg(option(
                "assembly",
                "AUTHOR/NAME",
                "The assembly of documents that name none, or one that is not here",
            ))
            .arg(option(
                "type",
                "TYPE",
                "The type of documents of MongoDB's that have none",
            ))
            .arg(max_line(
                "4",
                "The longest line that is read; it becomes values in memory, which can take 400 times as much",
            )),
    ]
}

impl Moving {
    /// What the command of that name says.
    pub(super) fn read(name: &str, matches: &ArgMatches) -> Result<Self, ConfigError> {
        let text = |name: &str| matches.get_one::<String>(name).map(String::as_str);
        let file = Place::of(text("file").unwrap_or("-"));
        Ok(match name {
            "backup" => Self::Backup { file },
            "restore" => Self::Restore {
                file,
                end_sessions: matches.get_flag("end-sessions"),
                max_line: max_line(matches)?,
            },
            "check-backup" => Self::CheckBackup {
                file,
                max_line: max_line(matches)?,
            },
            "export-user" => Self::ExportUser {
                user: user(text("name").unwrap_or_default(), "The user to be exported")?,
                file,
            },
            _ => Self::ImportUser {
                file,
                user: text("user").map(|name| user(name, "--user")).transpose()?,
                assembly: text("assembly").map(assembly).transpose()?,
                kind: match text("type") {
                    Some("") => return Err(ConfigError::new("--type must not be empty.")),
                    kind => kind.map(str::to_owned),
                },
                max_line: max_line(matches)?,
            },
        })
    }
}

fn max_line(matches: &ArgMatches) -> Result<usize, ConfigError> {
    let text = matches.get_one::<String>("max-line-mib");
    let mib = text.and_then(|text| text.parse::<usize>().ok());
    let mib = mib.filter(|mib| (1..=4096).contains(mib));
    let wrong = || ConfigError::new("--max-line-mib must be a whole number from 1 to 4096.");
    mib.map(|mib| mib << 20).ok_or_else(wrong)
}

fn user(text: &str, name: &str) -> Result<UserName, ConfigError> {
    UserName::parse(text).map_err(|error| ConfigError::new(format!("{name} is none: {error}")))
}

fn assembly(text: &str) -> Result<AssemblyRef, ConfigError> {
    let wrong = || ConfigError::new(format!("--assembly must be AUTHOR/NAME, not {text:?}."));
    AssemblyRef::parse(text).ok_or_else(wrong)
}
