//! The shell's commands as subcommands, made of the same table; and two with shorter names.

use std::path::PathBuf;

use clap::builder::PathBufValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use peerage_local::command::{HERE, Kind, SPECS, Spec};
use serde_json::{Map, Value};

/// A subcommand that was called.
#[derive(Debug)]
pub struct Call {
    /// The command behind it.
    pub spec: &'static Spec,
    /// Everything but secrets.
    pub args: Map<String, Value>,
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
        ("get", "Download a file of a group, here or to a folder or file name"),
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
fn with_args(command: Command, spec: &'static Spec, here: bool) -> Command {
    let seen = spec.args.iter().filter(|arg| arg.kind != Kind::Password);
    let positional = seen.map(|arg| {
        let required = !(arg.optional || here && arg.kind == Kind::Path);
        Arg::new(arg.name).value_name(arg.name.to_uppercase()).required(required)
    });
    // clap would show an option that is set by a variable as if it had to be given.
    let words = seen_words(spec, here);
    let usage = format!("peerage {}{words} [OPTIONS]", command.get_name());
    with_options(positional.fold(command, Command::arg), spec).override_usage(usage)
}

/// What stands behind the name of a subcommand.
fn seen_words(spec: &Spec, here: bool) -> String {
    let seen = spec.args.iter().filter(|arg| arg.kind != Kind::Password);
    let words = seen.map(|arg| match arg.optional || here && arg.kind == Kind::Path {
        true => format!(" [{}]", arg.name.to_uppercase()),
        false => format!(" <{}>", arg.name.to_uppercase()),
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
        let help = "Wait until it is complete, and show progress";
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
            let given = matches.get_one::<String>(arg.name).cloned();
            let given = given.or_else(|| (name == "get" && arg.kind == Kind::Path).then(|| HERE.to_owned()));
            if let Some(value) = given {
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
        let has = |name: &str| matches!(matches.try_get_one::<bool>(name), Ok(Some(true)));
        Some(Self {
            spec,
            args,
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
