//! The alarm for a cache that is full while nothing can finish: only a higher limit helps then.

use std::time::Duration;

use jetiter_config::broker::StreamInfo;
use tokio::time::Instant;

/// For so long nothing may be stored in a cache that is nearly full.
const QUIET: Duration = Duration::from_secs(10);

/// What the last looks at the cache saw.
pub(super) struct FullAlarm {
    last: u64,
    since: Instant,
}

impl FullAlarm {
    pub(super) fn new() -> FullAlarm {
        FullAlarm { last: 0, since: Instant::now() }
    }

    /// Takes in a look at the cache; says whether it is time to raise the alarm, which comes
    /// again as long as nothing changes.
    pub(super) fn look(&mut self, cache: &StreamInfo) -> bool {
        let limit = u64::try_from(cache.config.max_bytes).unwrap_or(u64::MAX);
        // Workers stop at their soft limit, and the next outcome may be a large one.
        let is_full = cache.state.bytes > limit / 2;
        if !is_full || cache.state.last_seq != self.last {
            *self = FullAlarm { last: cache.state.last_seq, since: Instant::now() };
            return false;
        }
        let told = self.since.elapsed() >= QUIET;
        if told {
            self.since = Instant::now();
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cache(max_bytes: i64, bytes: u64, last_seq: u64) -> StreamInfo {
        let state = json!({ "messages": 1, "bytes": bytes, "first_seq": 1, "last_seq": last_seq });
        let config = json!({ "max_bytes": max_bytes });
        let info = json!({ "created": "then", "state": state, "config": config });
        serde_json::from_value(info).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_cache_that_stands_still_is_told_of_again_and_again() {
        let mut alarm = FullAlarm::new();
        assert!(!alarm.look(&cache(1000, 900, 5)));
        tokio::time::advance(QUIET).await;
        assert!(alarm.look(&cache(1000, 900, 5)));
        assert!(!alarm.look(&cache(1000, 900, 5)));
        tokio::time::advance(QUIET).await;
        assert!(!alarm.look(&cache(1000, 900, 6)), "something was stored");
        tokio::time::advance(QUIET).await;
        assert!(alarm.look(&cache(1000, 900, 6)));
        tokio::time::advance(QUIET).await;
        assert!(!alarm.look(&cache(-1, 900, 6)), "no limit");
        assert!(!alarm.look(&cache(1000, 500, 6)), "half empty");
    }
}
