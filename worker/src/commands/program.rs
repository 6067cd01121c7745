//! What is started for a command, and whether it is there.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jetiter_config::settings::{self, Line};
use jetiter_config::wire::{ErrorKind, ItemError};
use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;

use super::keeper::Keeper;
use super::process::{Input, Process};
use crate::error::Error;

/// Where programs are looked for when there is no `PATH`: what the C library does.
const PATH: &str = "/bin:/usr/bin";

/// What is started for a command.
pub(super) struct Program {
    /// The function's name.
    pub(super) name: String,
    words: Vec<String>,
    env: Vec<(String, SecretString)>,
    cwd: Option<PathBuf>,
    keeper: Arc<Keeper>,
}

impl Program {
    /// Of a command in the settings.
    pub(super) fn new(name: &str, command: &settings::Command, keeper: Arc<Keeper>) -> Program {
        let words = match &command.command {
            Line::Words(words) => words.clone(),
            // The last is what the shell calls itself: words that follow are $1, $2 and so on.
            Line::Text(text) => ["sh", "-c", text, name].map(str::to_owned).to_vec(),
        };
        let env = command.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Program { name: name.to_owned(), words, env, cwd: command.cwd.clone(), keeper }
    }

    /// Whether it can be started at all, as far as can be told without.
    pub(super) fn check(&self) -> Result<(), Error> {
        let function = self.name.clone();
        if let Some(cwd) = self.cwd.as_deref().filter(|cwd| !cwd.is_dir()) {
            let directory = cwd.display().to_string();
            return Err(Error::NoDirectory { function, directory });
        }
        let own = self.env.iter().find(|(name, _)| name == "PATH");
        let own = own.map(|(_, value)| value.expose_secret().into());
        let path = own.or_else(settings::program_path).unwrap_or_else(|| PATH.into());
        match found(self.program(), &path, self.cwd.as_deref()) {
            true => Ok(()),
            false => Err(Error::NoProgram { function, program: self.program().to_owned() }),
        }
    }

    /// Starts it, with further words.
    pub(super) fn start(&self, more: &[String], input: Input) -> Result<Process, ItemError> {
        let mut command = Command::new(self.program());
        command.args(&self.words[1..]).args(more);
        command.envs(self.env.iter().map(|(name, value)| (name, value.expose_secret())));
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        Process::start(&self.name, command, input, self.keeper.clone()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::ArgumentListTooLong {
                let mend = "use input = \"stdin\" in the command's settings";
                let message = format!("the argument is too long for words: {mend}");
                return ItemError::new(ErrorKind::BadArgument, message);
            }
            let place = self.cwd.as_ref().map(|cwd| format!(" in {}", cwd.display()));
            let message = format!(
                "the command {:?} can't be started{}: {error}; install it where this worker runs, \
                 or mend functions.{:?}.command",
                self.program(),
                place.unwrap_or_default(),
                self.name
            );
            ItemError::new(ErrorKind::Failed, message)
        })
    }

    fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }
}

/// As the system finds it: a name with a slash is a path from the working directory, any other is
/// looked for in the directories of `PATH`.
fn found(program: &str, path: &OsStr, cwd: Option<&Path>) -> bool {
    let here = cwd.unwrap_or(Path::new(""));
    if program.contains('/') {
        return can_be_run(&here.join(program));
    }
    std::env::split_paths(path).any(|directory| can_be_run(&here.join(directory).join(program)))
}

fn can_be_run(file: &Path) -> bool {
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_as_the_system_finds_them() {
        let directory = std::env::temp_dir().join(format!("jetiter-found-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("bin")).unwrap();
        let program = directory.join("bin/program");
        std::fs::write(&program, "").unwrap();
        let path = format!("/none:{}/bin", directory.display());
        let found = |program: &str, path: &str, cwd| super::found(program, path.as_ref(), cwd);
        let full = program.to_str().unwrap().to_owned();
        assert!(!found(&full, "", None), "it is no program yet");
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        assert!(found(&full, "", None) && found("program", &path, None));
        assert!(found("bin/program", "", Some(&directory)), "from the working directory");
        assert!(found("./bin/program", "", Some(&directory)));
        assert!(!found("bin/program", &path, None) && !found("other", &path, Some(&directory)));
        assert!(!found("bin", directory.to_str().unwrap(), None), "a directory is no program");
        std::fs::remove_dir_all(directory).unwrap();
    }
}
