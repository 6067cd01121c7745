//! The rules that a type can't state. Each message names key, value, source and mend.

use std::time::Duration;

use figment::Figment;

use super::refuse::problem;
use super::{Assets, Collator, Settings, Submit, Up, Worker, address, command_rules};
use crate::error::Error;
use crate::names::{Namespace, Queue, is_notify_prefix};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const KIB: usize = 1024;

/// Checks settings that were read from `figment`, which tells where each value came from.
pub(super) fn check(settings: &Settings, figment: &Figment) -> Result<(), Error> {
    let rules = Rules(figment);
    rules.names(settings)?;
    rules.connection(settings)?;
    rules.login(settings)?;
    rules.tls(settings)?;
    rules.assets(&settings.assets)?;
    rules.submit(&settings.submit)?;
    rules.worker(&settings.worker)?;
    rules.collator(&settings.collator)?;
    rules.up(&settings.up)?;
    settings.functions.iter().try_for_each(|(name, c)| command_rules::check(figment, name, c))
}

struct Rules<'a>(&'a Figment);

impl Rules<'_> {
    fn ensure(&self, holds: bool, key: &str, rule: &str) -> Result<(), Error> {
        if holds { Ok(()) } else { Err(problem(self.0, key, rule)) }
    }

    fn positive(&self, counts: &[(&str, usize)]) -> Result<(), Error> {
        counts.iter().try_for_each(|(key, n)| self.ensure(*n >= 1, key, "must be at least 1"))
    }

    fn between(
        &self,
        key: &str,
        value: Duration,
        least: Duration,
        most: Duration,
    ) -> Result<(), Error> {
        let (low, high) = (humantime::format_duration(least), humantime::format_duration(most));
        let rule = format!("must be between {low} and {high}");
        self.ensure((least..=most).contains(&value), key, &rule)
    }

    fn token<T: std::str::FromStr<Err = Error>>(&self, key: &str, text: &str) -> Result<(), Error> {
        match text.parse::<T>() {
            Err(Error::Name { reason, .. }) => {
                Err(problem(self.0, key, format!("is malformed: {reason}")))
            }
            _ => Ok(()),
        }
    }

    fn names(&self, s: &Settings) -> Result<(), Error> {
        self.token::<Namespace>("namespace", &s.namespace)?;
        self.token::<Queue>("worker.queue", &s.worker.queue)?;
        let queues = &s.assets.queues;
        self.ensure(!queues.is_empty(), "assets.queues", "must name at least one queue")?;
        let twice = queues.iter().enumerate().any(|(at, queue)| queues[..at].contains(queue));
        self.ensure(!twice, "assets.queues", "must not name a queue twice")?;
        queues.iter().try_for_each(|queue| self.token::<Queue>("assets.queues", queue))
    }

    fn connection(&self, s: &Settings) -> Result<(), Error> {
        address::parse(&s.server).map_err(|reason| problem(self.0, "server", reason))?;
        let least = Duration::from_millis(10);
        self.between("connect_timeout", s.connect_timeout, least, DAY)?;
        self.between("request_timeout", s.request_timeout, least, DAY)?;
        let prefix = s.inbox_prefix.as_deref().unwrap_or("_INBOX");
        let plain = |c: char| !c.is_whitespace() && c != '*' && c != '>';
        let holds = prefix.split('.').all(|token| !token.is_empty() && token.chars().all(plain));
        self.ensure(holds, "inbox_prefix", "must be a subject without spaces, '*' and '>'")
    }

    fn login(&self, s: &Settings) -> Result<(), Error> {
        let file = |path: &Option<std::path::PathBuf>| {
            path.as_ref().is_none_or(|p| !p.as_os_str().is_empty())
        };
        let rule = "must not be empty: leave it out";
        self.ensure(file(&s.credentials), "credentials", rule)?;
        self.ensure(file(&s.nkey), "nkey", rule)?;
        self.ensure(s.user.as_deref() != Some(""), "user", rule)?;
        let alone = s.user.is_none() || s.password.is_some();
        self.ensure(alone, "user", "needs a password beside it")?;
        let alone = s.password.is_none() || s.user.is_some();
        self.ensure(alone, "password", "needs a user beside it")?;
        let given = [
            ("credentials", s.credentials.is_some()),
            ("nkey", s.nkey.is_some()),
            ("user", s.user.is_some()),
            ("token", s.token.is_some()),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(key, _)| *key);
        match (given.next(), given.next()) {
            (Some(first), Some(second)) => {
                let rule = format!("is one login too many beside {first}: keep one of them");
                Err(problem(self.0, second, rule))
            }
            _ => Ok(()),
        }
    }

    fn tls(&self, s: &Settings) -> Result<(), Error> {
        let (cert, key) = (s.tls_cert.is_some(), s.tls_key.is_some());
        self.ensure(!cert || key, "tls_cert", "needs tls_key beside it")?;
        self.ensure(!key || cert, "tls_key", "needs tls_cert beside it")
    }

    fn assets(&self, a: &Assets) -> Result<(), Error> {
        self.ensure((1..=5).contains(&a.replicas), "assets.replicas", "must be between 1 and 5")?;
        self.between("assets.ack_wait", a.ack_wait, SECOND, DAY)?;
        self.between("assets.duplicate_window", a.duplicate_window, SECOND, DAY)?;
        self.between("assets.lease", a.lease, SECOND, DAY)?;
        self.ensure(a.max_ack_pending >= 1, "assets.max_ack_pending", "must be at least 1")?;
        let limits = [
            ("assets.items_max_bytes", a.items_max_bytes),
            ("assets.cache_max_bytes", a.cache_max_bytes),
            ("assets.results_max_bytes", a.results_max_bytes),
        ];
        let rule = "must be more than 0, or -1 for no limit";
        limits.iter().try_for_each(|(key, n)| self.ensure(*n > 0 || *n == -1, key, rule))
    }

    fn submit(&self, s: &Submit) -> Result<(), Error> {
        self.positive(&[("submit.window", s.window), ("submit.window_bytes", s.window_bytes)])
    }

    fn worker(&self, w: &Worker) -> Result<(), Error> {
        self.positive(&[
            ("worker.prefetch", w.prefetch),
            ("worker.in_flight", w.in_flight),
            ("worker.begins", w.begins as usize),
        ])?;
        let least = Duration::from_millis(1);
        self.between("worker.timeout", w.timeout, least, 365 * DAY)?;
        self.between("worker.grace", w.grace, Duration::ZERO, DAY)?;
        self.between("worker.retry_delay", w.retry_delay, least, DAY)?;
        let rule = "must be at least worker.retry_delay";
        self.ensure(w.retry_delay_max >= w.retry_delay, "worker.retry_delay_max", rule)?;
        self.between("worker.patience", w.patience, SECOND, 365 * DAY)?;
        let share = w.soft_limit > 0.0 && w.soft_limit < 1.0;
        self.ensure(share, "worker.soft_limit", "must be a share between 0 and 1, such as 0.9")
    }

    fn collator(&self, c: &Collator) -> Result<(), Error> {
        self.positive(&[("collator.collations", c.collations)])?;
        let rule = "must be between 1KiB and 768KiB";
        self.ensure((KIB..=768 * KIB).contains(&c.chunk), "collator.chunk", rule)?;
        self.between("collator.abandon_after", c.abandon_after, SECOND, 365 * DAY)?;
        self.between("collator.short_after", c.short_after, SECOND, 365 * DAY)?;
        // The server counts the life of a message in seconds.
        self.between("collator.done_ttl", c.done_ttl, SECOND, DAY)?;
        self.between("collator.progress_every", c.progress_every, Duration::from_millis(10), DAY)?;
        let rule = "must be prefixes of whole tokens that end with a dot, such as orders., none of \
                    them the server's";
        let sound = c.notify.iter().all(|prefix| is_notify_prefix(prefix));
        self.ensure(sound, "collator.notify", rule)?;
        self.between("collator.patience", c.patience, SECOND, 365 * DAY)
    }

    fn up(&self, up: &Up) -> Result<(), Error> {
        let rule = "must not be empty";
        self.ensure(!up.data.as_os_str().is_empty(), "up.data", rule)?;
        self.ensure(!up.nats_server.is_empty(), "up.nats_server", rule)
    }
}
