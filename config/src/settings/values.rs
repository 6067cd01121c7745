//! The settings as values: one doc comment per key is a row of the README's table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Command, hidden, redacted, size};

/// All settings. Their text forms, `Debug` and `Serialize`, hide secrets.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Prefix of every subject and asset; engines with different ones do not meet. Default `jetiter`.
    pub namespace: String,
    /// Address of the NATS server, or several with commas between. Default `nats://127.0.0.1:4222`.
    #[serde(serialize_with = "redacted")]
    pub server: String,
    /// Name of a context of the nats CLI, which fills what is not set otherwise; an empty one is
    /// the selected context. Default none.
    pub context: Option<String>,
    /// Path of a credentials file (`.creds`) to log in with. Default none.
    pub credentials: Option<PathBuf>,
    /// Path of a file with an nkey seed to log in with. Default none.
    pub nkey: Option<PathBuf>,
    /// User to log in with, beside `password`. Default none.
    pub user: Option<String>,
    /// Password of `user`. Default none.
    #[serde(serialize_with = "hidden")]
    pub password: Option<SecretString>,
    /// Token to log in with. Default none.
    #[serde(serialize_with = "hidden")]
    pub token: Option<SecretString>,
    /// Path of the certificates (PEM) to trust instead of the system's. Makes TLS required. Default none.
    pub tls_ca: Option<PathBuf>,
    /// Path of the client's certificate (PEM), beside `tls_key`. Makes TLS required. Default none.
    pub tls_cert: Option<PathBuf>,
    /// Path of the client's private key (PEM), beside `tls_cert`. Default none.
    pub tls_key: Option<PathBuf>,
    /// Whether to refuse a connection without TLS. Default `false`.
    pub tls_required: bool,
    /// Whether to speak TLS before the server's greeting. Makes TLS required. Default `false`.
    pub tls_first: bool,
    /// First tokens of the reply subjects, where an account's permissions name them. Default `_INBOX`.
    pub inbox_prefix: Option<String>,
    /// How long to wait for a connection. Default `5s`.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// How long to wait for the answer to a request. Default `5s`.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
    /// What to log: a level, or directives such as `info,jetiter_worker=debug`. Default `info`.
    pub log: String,
    /// Form of the log's lines: `text` or `json`. Default `text`.
    pub log_format: LogFormat,
    /// The streams and buckets that `jetiter init` makes.
    pub assets: Assets,
    /// The submitter.
    pub submit: Submit,
    /// The worker.
    pub worker: Worker,
    /// The collator.
    pub collator: Collator,
    /// All in one process.
    pub up: Up,
    /// Commands that the stock worker serves as functions, by the function's name.
    pub functions: BTreeMap<String, Command>,
}

/// Form of the log's lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// Where the server keeps an asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk: it outlives the server's process.
    #[default]
    File,
    /// In memory: it is gone with the server's process.
    Memory,
}

/// The streams and buckets that `jetiter init` makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assets {
    /// How many servers keep each asset, 1 to 5. Default `1`.
    pub replicas: usize,
    /// Where the server keeps them: `file` or `memory`. Default `file`.
    pub storage: Storage,
    /// The queues that can be worked. Default `["default"]`.
    pub queues: Vec<String>,
    /// How long an item may stay without a sign of its worker before another gets it. Default `30s`.
    #[serde(with = "humantime_serde")]
    pub ack_wait: Duration,
    /// How long the server remembers message ids. Default `30s`.
    #[serde(with = "humantime_serde")]
    pub duplicate_window: Duration,
    /// Most items of one lane of a queue in the hands of all its workers. Default `65536`.
    pub max_ack_pending: i64,
    /// Most bytes of waiting items; `-1` is no limit. Default `-1`.
    #[serde(with = "size")]
    pub items_max_bytes: i64,
    /// Most bytes of outcomes of live groups; `-1` is no limit. Default `-1`.
    #[serde(with = "size")]
    pub cache_max_bytes: i64,
    /// Most bytes of results; `-1` is no limit. Default `-1`.
    #[serde(with = "size")]
    pub results_max_bytes: i64,
    /// How long a silent collator stays the working one. Default `6s`.
    #[serde(with = "humantime_serde")]
    pub lease: Duration,
}

/// The submitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Submit {
    /// Most items published and not yet acknowledged. Default `1024`.
    pub window: usize,
    /// Most bytes of such items. Default `16MiB`.
    #[serde(with = "size")]
    pub window_bytes: usize,
    /// How long to go on trying to store one message while the server is full or out of reach.
    /// Default `10m`.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
}

/// The worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// The queue to work. Default `default`.
    pub queue: String,
    /// Items run at once; `0` is four times the processors. Default `0`.
    pub concurrency: usize,
    /// Most items of one lane held beyond those that run. Default `4096`.
    pub prefetch: usize,
    /// Most outcomes written and not yet acknowledged; while small groups come and go beside a giant,
    /// 64 at most. Default `1000`.
    pub in_flight: usize,
    /// How long an item may run when it names no time itself. Default `5m`.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long running items may take to end when the worker is told to stop. Default `20s`.
    #[serde(with = "humantime_serde")]
    pub grace: Duration,
    /// How many times more an item is begun whose worker died, before it becomes an error. Default `3`.
    pub begins: u32,
    /// Delay before the first retry of a failed item; it doubles. Default `1s`.
    #[serde(with = "humantime_serde")]
    pub retry_delay: Duration,
    /// Longest delay before a retry. Default `1m`.
    #[serde(with = "humantime_serde")]
    pub retry_delay_max: Duration,
    /// Share of the cache's `cache_max_bytes` at which workers stop pulling. Default `0.9`.
    pub soft_limit: f64,
    /// How long to go on while no server answers, no items can be had or no outcome can be stored;
    /// then the worker ends with an error. Default `1h`.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
}

/// The collator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Collator {
    /// Bytes of outcomes of live groups kept in memory. Default `32MiB`.
    #[serde(with = "size")]
    pub buffer: usize,
    /// Bytes in one chunk of a result, `1KiB` to `768KiB`. Default `128KiB`.
    #[serde(with = "size")]
    pub chunk: usize,
    /// Groups collated at once. Default `4`.
    pub collations: usize,
    /// How long an unsealed group may be silent before it ends with what it has. Default `1h`.
    #[serde(with = "humantime_serde")]
    pub abandon_after: Duration,
    /// How long a sealed group may lack items that are nowhere before it is reported. Default `30s`.
    #[serde(with = "humantime_serde")]
    pub short_after: Duration,
    /// How long the mark of a finished group is kept, at least `1s`. Default `5s`.
    #[serde(with = "humantime_serde")]
    pub done_ttl: Duration,
    /// Least time between two progress events of a group. Default `250ms`.
    #[serde(with = "humantime_serde")]
    pub progress_every: Duration,
    /// What subjects of notices may begin with; `{namespace}` stands for the namespace. Default
    /// `["{namespace}.notify."]`.
    pub notify: Vec<String>,
    /// How long to go on while no server answers or a result can't be stored; then the collator
    /// ends with an error. Default `1h`.
    #[serde(with = "humantime_serde")]
    pub patience: Duration,
}

/// All in one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Up {
    /// Directory for the data of a server that `jetiter up` starts. Default `.jetiter`.
    pub data: PathBuf,
    /// The nats-server program, by name or path; also `JETITER_NATS_SERVER`. Default `nats-server`.
    pub nats_server: String,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            namespace: "jetiter".to_owned(),
            server: "nats://127.0.0.1:4222".to_owned(),
            context: None,
            credentials: None,
            nkey: None,
            user: None,
            password: None,
            token: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            tls_required: false,
            tls_first: false,
            inbox_prefix: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            assets: Assets::default(),
            submit: Submit::default(),
            worker: Worker::default(),
            collator: Collator::default(),
            up: Up::default(),
            functions: BTreeMap::new(),
        }
    }
}

impl Default for Assets {
    fn default() -> Self {
        Assets {
            replicas: 1,
            storage: Storage::File,
            queues: vec!["default".to_owned()],
            ack_wait: Duration::from_secs(30),
            duplicate_window: Duration::from_secs(30),
            max_ack_pending: 65_536,
            items_max_bytes: -1,
            cache_max_bytes: -1,
            results_max_bytes: -1,
            lease: Duration::from_secs(6),
        }
    }
}

impl Default for Submit {
    fn default() -> Self {
        Submit { window: 1024, window_bytes: 16 << 20, patience: Duration::from_secs(600) }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Worker {
            queue: "default".to_owned(),
            concurrency: 0,
            prefetch: 4096,
            in_flight: 1000,
            timeout: Duration::from_secs(5 * 60),
            grace: Duration::from_secs(20),
            begins: 3,
            retry_delay: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(60),
            soft_limit: 0.9,
            patience: Duration::from_secs(60 * 60),
        }
    }
}

impl Default for Collator {
    fn default() -> Self {
        Collator {
            buffer: 32 << 20,
            chunk: 128 << 10,
            collations: 4,
            abandon_after: Duration::from_secs(60 * 60),
            short_after: Duration::from_secs(30),
            done_ttl: Duration::from_secs(5),
            progress_every: Duration::from_millis(250),
            notify: vec!["{namespace}.notify.".to_owned()],
            patience: Duration::from_secs(60 * 60),
        }
    }
}

impl Default for Up {
    fn default() -> Self {
        Up { data: ".jetiter".into(), nats_server: "nats-server".to_owned() }
    }
}
