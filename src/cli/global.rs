//! The options that every command takes; each is one key of the settings.

use std::path::PathBuf;

use clap::Args;
use figment::Figment;
use jetiter_config::settings::{self, Settings};
use serde::Serialize;

use super::exit::Failure;
use super::log;

/// Field names are keys of the settings: together they are one layer of them.
#[derive(Args, Serialize)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Address of the NATS server, or several with commas between [env: JETITER_SERVER, NATS_URL]
    /// [default: nats://127.0.0.1:4222]
    #[arg(long, short, global = true, value_name = "URL")]
    server: Option<String>,
    /// Prefix of all subjects and assets [env: JETITER_NAMESPACE] [default: jetiter]
    #[arg(long, short, global = true, value_name = "NAME")]
    namespace: Option<String>,
    /// Context of the nats CLI, an empty one for the selected context [env: JETITER_CONTEXT]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    context: Option<String>,
    /// Credentials file to log in with [env: JETITER_CREDENTIALS]
    #[arg(long, alias = "creds", global = true, value_name = "FILE", hide_short_help = true)]
    credentials: Option<PathBuf>,
    /// File with an nkey seed to log in with [env: JETITER_NKEY]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    nkey: Option<PathBuf>,
    /// User to log in with [env: JETITER_USER]
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    user: Option<String>,
    /// Password of the user; other users of this machine may see it here, so rather say it by
    /// the variable [env: JETITER_PASSWORD]
    #[arg(long, global = true, hide_short_help = true)]
    password: Option<String>,
    /// Token to log in with; rather say it by the variable [env: JETITER_TOKEN]
    #[arg(long, global = true, hide_short_help = true)]
    token: Option<String>,
    /// Certificates (PEM) to trust instead of the system's [env: JETITER_TLS_CA]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    tls_ca: Option<PathBuf>,
    /// The client's certificate (PEM) [env: JETITER_TLS_CERT]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    tls_cert: Option<PathBuf>,
    /// The client's private key (PEM) [env: JETITER_TLS_KEY]
    #[arg(long, global = true, value_name = "FILE", hide_short_help = true)]
    tls_key: Option<PathBuf>,
    /// Refuse a connection without TLS [env: JETITER_TLS_REQUIRED]
    #[arg(long, global = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL", hide_short_help = true)]
    tls_required: Option<bool>,
    /// Speak TLS before the server's greeting [env: JETITER_TLS_FIRST]
    #[arg(long, global = true, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_name = "BOOL", hide_short_help = true)]
    tls_first: Option<bool>,
    /// First tokens of the reply subjects [env: JETITER_INBOX_PREFIX]
    #[arg(long, global = true, value_name = "PREFIX", hide_short_help = true)]
    inbox_prefix: Option<String>,
    /// What to log: a level, or directives such as info,jetiter_worker=debug [env: JETITER_LOG]
    /// [default: info for worker, collator and up, otherwise warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Form of the log's lines: text or json [env: JETITER_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORM", hide_short_help = true)]
    log_format: Option<String>,
    /// Settings file [default: jetiter.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
}

impl Global {
    /// Everything that was said about the settings.
    pub(crate) fn figment(&self) -> Figment {
        Settings::figment(self.config.as_deref()).merge(settings::flags(self))
    }

    /// Whether a flag names the namespace.
    pub(crate) fn names_namespace(&self) -> bool {
        self.namespace.is_some()
    }

    /// The same words for another process of this program: flags, and variables for what other
    /// users of the machine must not see.
    pub(crate) fn for_another_process(&self) -> (Vec<String>, Vec<(String, String)>) {
        let said = serde_json::to_value(self).unwrap_or_default();
        let said = said.as_object().into_iter().flatten();
        let said = said.filter(|(_, value)| !value.is_null());
        let said = said.map(|(key, value)| {
            (key.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
        let (secrets, plain): (Vec<_>, Vec<_>) =
            said.partition(|(key, _)| key == "password" || key == "token");
        let flag = |(key, value): (String, String)| format!("--{}={value}", key.replace('_', "-"));
        let mut flags: Vec<_> = plain.into_iter().map(flag).collect();
        if let Some(path) = &self.config {
            flags.push(format!("--config={}", path.display()));
        }
        if self.log.is_none() {
            flags.push(format!("--log={}", log::QUIET));
        }
        let variable =
            |(key, value): (String, String)| (format!("JETITER_{}", key.to_uppercase()), value);
        (flags, secrets.into_iter().map(variable).collect())
    }

    /// The settings for a command with no settings of its own.
    pub(crate) fn load(&self, default_log: &str) -> Result<Settings, Failure> {
        self.load_with((), default_log)
    }

    /// The settings, with the command's own flags above all others, and the log set up.
    pub(crate) fn load_with(
        &self,
        own: impl Serialize,
        default_log: &str,
    ) -> Result<Settings, Failure> {
        let figment = self.figment().merge(settings::flags(own));
        let mut settings = Settings::load(&figment)?;
        let said = settings::explain(&figment)
            .into_iter()
            .any(|one| one.key == "log" && one.source != "default");
        if !said {
            settings.log = default_log.to_owned();
        }
        log::init(&settings)?;
        Ok(settings)
    }
}
