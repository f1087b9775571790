//! The shell's commands as subcommands, made of the same table; and two with shorter names.

use std::path::PathBuf;

use clap::builder::PathBufValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use peerage_local::command::{Kind, SPECS, Spec, as_folder, files_and_place};
use serde_json::{Map, Value};

/// A subcommand that was called.
#[derive(Debug)]
pub struct Call {
    /// The command behind it.
    pub spec: &'static Spec,
    /// Everything but secrets, and but the files of `download_file`.
    pub args: Map<String, Value>,
    /// What `download_file` is about; several only of `get`.
    pub files: Vec<String>,
    /// The node's data folder.
    pub data: Option<PathBuf>,
    /// One JSON object instead of lines.
    pub json: bool,
    /// Where secrets are read from; standard input if nothing is given.
    pub password_file: Option<PathBuf>,
    /// Wait until what was started is complete.
    pub wait: bool,
}

/// All of them.
pub fn subcommands() -> Vec<Command> {
    let all = SPECS.iter().filter(|spec| spec.is_remote()).map(|spec| {
        let command = Command::new(spec.name).about(spec.summary);
        let command = match spec.name.contains('_') {
            true => command.alias(spec.name.replace('_', "-")),
            false => command,
        };
        with_args(command, spec, false)
    });
    let short = [
        ("get", "Download files of a group: here, or where a path behind their names says"),
        ("share", "Share a file with a group, where it lies"),
    ];
    let short = short.into_iter().filter_map(|(name, about)| {
        Some(with_args(Command::new(name).about(about), spec_of(name)?, name == "get"))
    });
    all.chain(short).collect()
}

fn spec_of(name: &str) -> Option<&'static Spec> {
    Spec::of_word(name).filter(|spec| spec.is_remote())
}

/// With the command's arguments, but for secrets: those are not for the command line, where others can read them.
fn with_args(command: Command, spec: &'static Spec, get: bool) -> Command {
    let seen = spec.args.iter().filter(|arg| arg.kind != Kind::Password);
    let positional = seen.filter(|arg| !(get && arg.kind == Kind::Path)).map(|arg| {
        let word = Arg::new(arg.name).value_name(arg.name.to_uppercase()).required(!arg.optional);
        match get && arg.kind == Kind::File {
            // What follows the files is told from them when all words are there.
            true => word.num_args(1..).help(
                "Their names; behind them a path where they go, if not here: a folder (`./backup`, for a bare word is a \
                 file's name), or for one file also a file name",
            ),
            false => word,
        }
    });
    // clap would show an option that is set by a variable as if it had to be given.
    let words = seen_words(spec, get);
    let usage = format!("peerage {}{words} [OPTIONS]", command.get_name());
    with_options(positional.fold(command, Command::arg), spec).override_usage(usage)
}

/// What stands behind the name of a subcommand.
fn seen_words(spec: &Spec, get: bool) -> String {
    let seen = spec.args.iter().filter(|arg| arg.kind != Kind::Password);
    let words = seen.map(|arg| match arg.kind {
        Kind::File if get => format!(" <{}>...", arg.name.to_uppercase()),
        _ if arg.optional || get && arg.kind == Kind::Path => format!(" [{}]", arg.name.to_uppercase()),
        _ => format!(" <{}>", arg.name.to_uppercase()),
    });
    words.collect()
}

fn with_options(mut command: Command, spec: &'static Spec) -> Command {
    let secrets: Vec<&str> = spec.args.iter().filter(|a| a.kind == Kind::Password).map(|a| a.name).collect();
    if !secrets.is_empty() {
        command = command.arg(
            Arg::new("password-file")
                .long("password-file")
                .value_name("FILE")
                .value_parser(PathBufValueParser::new())
                .help(format!(
                    "Read {} from this file, one a line, instead of asking",
                    secrets.join(" and ")
                )),
        );
    }
    for option in spec.options {
        let arg = Arg::new(option.name).long(option.name);
        command = command.arg(match option.value {
            None => arg.action(ArgAction::SetTrue),
            Some(value) => arg.value_name(value).action(ArgAction::Append),
        });
    }
    if spec.name == "download_file" {
        let help = "Wait until it is complete, and show progress; Ctrl-C ends the waiting only";
        command = command.arg(Arg::new("wait").long("wait").action(ArgAction::SetTrue).help(help));
    }
    let json =
        Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object on one line");
    let data = Arg::new("data").long("data").value_name("DIR").env("PEERAGE_DATA");
    let data = data
        .value_parser(PathBufValueParser::new())
        .help("The node's data folder, if not the one of this user");
    command.arg(json).arg(data)
}

impl Call {
    /// What a subcommand's matches mean; `None` if it is not one of these.
    pub fn of(name: &str, matches: &ArgMatches) -> Option<Self> {
        let spec = spec_of(name)?;
        let mut args = Map::new();
        for arg in spec.args.iter().filter(|arg| arg.kind != Kind::Password) {
            if spec.name == "download_file"
                && (arg.kind == Kind::File || name == "get" && arg.kind == Kind::Path)
            {
                continue;
            }
            if let Some(value) = matches.get_one::<String>(arg.name).cloned() {
                let value = if arg.kind == Kind::Path { absolute(&value) } else { value };
                args.insert(arg.name.to_owned(), value.into());
            }
        }
        for option in spec.options {
            let value = match option.value {
                None => matches.get_flag(option.name).then_some(Value::Bool(true)),
                Some(_) => matches.get_many::<String>(option.name).map(|all| all.cloned().collect()),
            };
            args.extend(value.map(|value| (option.name.to_owned(), value)));
        }
        let mut files = Vec::new();
        if spec.name == "download_file" {
            let words: Vec<&str> =
                matches.get_many::<String>("file").into_iter().flatten().map(String::as_str).collect();
            let (names, place) = if name == "get" { files_and_place(&words) } else { (words.clone(), "") };
            // Folders are listed with a slash behind their name.
            files = names.iter().map(|name| name.trim_end_matches('/').to_owned()).collect();
            if name == "get" {
                let place = absolute(place);
                let place = if files.len() > 1 { as_folder(&place) } else { place };
                args.insert("destination".to_owned(), place.into());
            }
        }
        let has = |name: &str| matches!(matches.try_get_one::<bool>(name), Ok(Some(true)));
        Some(Self {
            spec,
            args,
            files,
            data: matches.get_one::<PathBuf>("data").cloned(),
            json: has("json"),
            password_file: matches.try_get_one::<PathBuf>("password-file").ok().flatten().cloned(),
            wait: spec.name == "download_file" && has("wait"),
        })
    }
}

/// The node has a current folder of its own. What ends in a slash still does: it means a folder.
fn absolute(path: &str) -> String {
    let Ok(whole) = std::path::absolute(path) else { return path.to_owned() };
    let mut whole = whole.to_string_lossy().into_owned();
    if path.ends_with(std::path::is_separator) && !whole.ends_with(std::path::is_separator) {
        whole.push(std::path::MAIN_SEPARATOR);
    }
    whole
}
