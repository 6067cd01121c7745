//! The rules of a command that a type can't state.

use figment::Figment;
use secrecy::ExposeSecret;

use super::command::{Command, Line, Mode};
use super::refuse::problem_at;
use crate::error::Error;
use crate::names::Function;

/// Checks one command of the settings.
pub(super) fn check(figment: &Figment, name: &str, command: &Command) -> Result<(), Error> {
    let broken = name_is_bad(name)
        .or_else(|| line_is_bad(command))
        .or_else(|| plain_only(command))
        .or_else(|| env_is_bad(command))
        .or_else(|| none_fits(command));
    match broken {
        None => Ok(()),
        Some((keys, rule)) => {
            let path: Vec<&str> = ["functions", name].into_iter().chain(keys).collect();
            Err(problem_at(figment, &path, rule))
        }
    }
}

/// The keys below the command, and the rule that they break.
type Broken<'a> = Option<(Vec<&'a str>, &'static str)>;

fn name_is_bad(name: &str) -> Broken<'_> {
    let rule = "is no function's name: use tokens of letters, digits, '_' or '-', joined by dots, \
                128 bytes in all";
    name.parse::<Function>().is_err().then_some((vec![], rule))
}

fn line_is_bad(command: &Command) -> Broken<'_> {
    let words: &[String] = match (&command.command, command.shell) {
        (Line::Words(words), false) => words,
        (Line::Text(text), true) => std::slice::from_ref(text),
        (Line::Words(_), true) => {
            return Some((vec!["command"], "must be one text, since shell is true"));
        }
        (Line::Text(_), false) => {
            let rule = "must be a list, the program first; one text needs shell = true";
            return Some((vec!["command"], rule));
        }
    };
    if words.first().is_none_or(String::is_empty) {
        return Some((vec!["command"], "must name a program"));
    }
    let zero = words.iter().any(|word| word.contains('\0'));
    zero.then_some((vec!["command"], "must not hold a zero byte"))
}

/// What only a command that is run once has.
fn plain_only(command: &Command) -> Broken<'_> {
    let rule = "needs mode = \"once\" beside it";
    match command.mode {
        Mode::Once => None,
        Mode::Lines if command.input.is_some() => Some((vec!["input"], rule)),
        Mode::Lines if command.output.is_some() => Some((vec!["output"], rule)),
        Mode::Lines => None,
    }
}

fn env_is_bad(command: &Command) -> Broken<'_> {
    command.env.iter().find_map(|(name, value)| {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Some((vec!["env", name], "is no variable's name"));
        }
        let zero = value.expose_secret().contains('\0');
        zero.then_some((vec!["env", name.as_str()], "must not hold a zero byte"))
    })
}

fn none_fits(command: &Command) -> Broken<'_> {
    (command.output_max_bytes == 0).then_some((vec!["output_max_bytes"], "must be at least 1"))
}
