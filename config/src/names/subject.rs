//! The subjects and assets of a namespace.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;

use super::lane::Lane;
use super::token::{Function, GroupId, Namespace, Queue, is_function, is_token};

/// What the items stream hands to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    /// The queue's token.
    pub queue: &'a str,
    /// The group's token.
    pub group: &'a str,
    /// The function's dotted name.
    pub function: &'a str,
}

/// What the items stream hands to the collator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control<'a> {
    /// `<ns>.seal.<group>`
    Seal(&'a str),
    /// `<ns>.cancel.<group>`
    Cancel(&'a str),
}

/// The durable consumer of seals and cancels.
pub const COLLATOR_CONSUMER: &str = "collator";
/// The key of the collator's lease in the lease bucket.
pub const LEASE_KEY: &str = "collator";

impl Namespace {
    /// The stream of items, seals and cancels.
    pub fn items_stream(&self) -> String {
        format!("{self}-items")
    }

    /// The key-value bucket of outcomes and marks.
    pub fn cache_bucket(&self) -> String {
        format!("{self}-cache")
    }

    /// The stream under the cache bucket.
    pub fn cache_stream(&self) -> String {
        format!("KV_{self}-cache")
    }

    /// The object store of results.
    pub fn results_bucket(&self) -> String {
        format!("{self}-results")
    }

    /// The stream under the object store.
    pub fn results_stream(&self) -> String {
        format!("OBJ_{self}-results")
    }

    /// The stream under the lease bucket.
    pub fn lease_stream(&self) -> String {
        format!("KV_{self}-lease")
    }

    /// The durable consumer of one lane of a queue.
    pub fn worker_consumer(&self, queue: &Queue, lane: Lane) -> String {
        format!("worker-{queue}-{lane}")
    }

    /// What the items stream takes: items, seals, cancels, and items for the long lanes.
    pub fn submit_subjects(&self) -> Vec<String> {
        let long = Lane::LONG.map(|(lane, _)| format!("{self}.work.*.{lane}.*.>"));
        self.submit_subjects_without_lanes().into_iter().chain(long).collect()
    }

    /// What it took before there were lanes.
    pub fn submit_subjects_without_lanes(&self) -> Vec<String> {
        vec![format!("{self}.item.*.*.>"), format!("{self}.seal.*"), format!("{self}.cancel.*")]
    }

    /// How items are stored: a lane token, a hash of the group, stands behind the queue. Source
    /// and destination of the transform.
    pub fn lane_transform(&self) -> (String, String) {
        self.transform(Lane::HASHED)
    }

    /// The transform before there were lanes.
    pub fn transform_without_lanes(&self) -> (String, String) {
        self.transform(1)
    }

    fn transform(&self, lanes: usize) -> (String, String) {
        let source = format!("{self}.item.*.*.>");
        (source, format!("{self}.work.$1.{{{{partition({lanes},2)}}}}.$2.>"))
    }

    /// Where a client publishes an item: straight to a long lane from some index on.
    pub fn item_subject(
        &self,
        queue: &Queue,
        group: &GroupId,
        function: &Function,
        index: u32,
    ) -> String {
        match Lane::long(index) {
            None => format!("{self}.item.{queue}.{group}.{function}"),
            Some(lane) => format!("{self}.work.{queue}.{lane}.{group}.{function}"),
        }
    }

    /// Where a client says how many items a group has.
    pub fn seal_subject(&self, group: &GroupId) -> String {
        format!("{self}.seal.{group}")
    }

    /// Where a client cancels a group.
    pub fn cancel_subject(&self, group: &GroupId) -> String {
        format!("{self}.cancel.{group}")
    }

    /// Items that are stored as they were published: the transform passes over a subject that
    /// holds a literal wildcard, and no consumer is ever handed them.
    pub fn stray_filter(&self) -> String {
        format!("{self}.item.>")
    }

    /// All items of a queue.
    pub fn queue_filter(&self, queue: &Queue) -> String {
        format!("{self}.work.{queue}.>")
    }

    /// What the consumer of a queue's lane is handed.
    pub fn work_filter(&self, queue: &Queue, lane: Lane) -> String {
        format!("{self}.work.{queue}.{lane}.>")
    }

    /// The queue of a consumer that is handed all of its lanes, as before there were lanes.
    pub fn queue_without_lanes(&self, filter: &str) -> Option<Queue> {
        let rest = filter.strip_prefix(self.as_str())?.strip_prefix(".work.")?;
        rest.strip_suffix(".>")?.parse().ok()
    }

    /// All items of a group that wait or are in hand.
    pub fn waiting_filter(&self, group: &str) -> String {
        format!("{self}.work.*.*.{group}.>")
    }

    /// What the collator's durable consumer is handed.
    pub fn control_filters(&self) -> Vec<String> {
        vec![format!("{self}.seal.*"), format!("{self}.cancel.*")]
    }

    /// Takes a stored item's subject apart: `<ns>.work.<queue>.<lane>.<group>.<function>`.
    pub fn parse_work<'a>(&self, subject: &'a str) -> Option<Work<'a>> {
        let rest = subject.strip_prefix(self.as_str())?.strip_prefix(".work.")?;
        let mut tokens = rest.splitn(4, '.');
        let (queue, _lane) = (tokens.next()?, tokens.next()?);
        let (group, function) = (tokens.next()?, tokens.next()?);
        let sound = is_token(queue) && is_token(group) && is_function(function);
        sound.then_some(Work { queue, group, function })
    }

    /// The lane in which an item is stored.
    pub fn parse_lane(&self, subject: &str) -> Option<Lane> {
        let rest = subject.strip_prefix(self.as_str())?.strip_prefix(".work.")?;
        Lane::parse(rest.split('.').nth(1)?)
    }

    /// Takes a seal's or cancel's subject apart.
    pub fn parse_control<'a>(&self, subject: &'a str) -> Option<Control<'a>> {
        let rest = subject.strip_prefix(self.as_str())?;
        let (group, control): (_, fn(&'a str) -> Control<'a>) = match rest.strip_prefix(".seal.") {
            Some(group) => (group, Control::Seal),
            None => (rest.strip_prefix(".cancel.")?, Control::Cancel),
        };
        is_token(group).then(|| control(group))
    }

    /// The subject of the collator's lease.
    pub fn lease_subject(&self) -> String {
        format!("$KV.{self}-lease.{LEASE_KEY}")
    }

    /// What the results' stream takes: chunks and metadata.
    pub fn results_subjects(&self) -> Vec<String> {
        vec![format!("$O.{self}-results.C.>"), format!("$O.{self}-results.M.>")]
    }

    /// Where an object's metadata stands. Publishing the list's is the commit.
    pub fn object_subject(&self, object: &str) -> String {
        format!("$O.{self}-results.M.{}", URL_SAFE.encode(object))
    }

    /// Where the chunks of one upload stand; `nuid` is `<group>.<unique>`, so that every chunk
    /// tells whose it is.
    pub fn chunk_subject(&self, nuid: &str) -> String {
        format!("$O.{self}-results.C.{nuid}")
    }

    /// All chunks that any collator ever wrote for a group.
    pub fn chunks_filter(&self, group: &str) -> String {
        format!("$O.{self}-results.C.{group}.>")
    }

    /// What the subjects of the service's endpoints begin with.
    pub fn api_prefix(&self) -> String {
        format!("{self}.api")
    }

    /// Where workers are asked what they serve; each of them answers.
    pub fn serving_subject(&self) -> String {
        format!("{self}.serving")
    }

    /// Where events about a group are told, over core NATS.
    pub fn event_subject(&self, group: &str, kind: &str) -> String {
        format!("{self}.event.{group}.{kind}")
    }
}

/// The name of the object that holds a group's records.
pub fn records_object(group: &str) -> String {
    format!("{group}.records")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns() -> Namespace {
        "jetiter".parse().unwrap()
    }

    #[test]
    fn work_is_read_behind_the_lane() {
        let work = ns().parse_work("jetiter.work.default.0.g1.math.floor");
        assert_eq!(work, Some(Work { queue: "default", group: "g1", function: "math.floor" }));
        let lane = ns().parse_lane("jetiter.work.default.9.g1.math.floor");
        assert_eq!(lane, Some(Lane::LAST));
        assert_eq!(ns().parse_work("jetiter.work.default.0.g*.math.floor"), None);
        assert_eq!(ns().parse_work("jetiter.work.default.0.g1"), None);
    }

    #[test]
    fn only_an_older_consumer_is_handed_a_whole_queue() {
        let (ns, queue) = (ns(), "a-1".parse::<Queue>().unwrap());
        assert_eq!(ns.queue_without_lanes("jetiter.work.a-1.>"), Some(queue.clone()));
        for lane in Lane::all() {
            assert_eq!(ns.queue_without_lanes(&ns.work_filter(&queue, lane)), None);
        }
        assert_eq!(ns.queue_without_lanes("jetiter.work.>"), None);
        assert_eq!(ns.queue_without_lanes("jetiter.seal.*"), None);
    }

    #[test]
    fn controls_are_told_apart() {
        assert_eq!(ns().parse_control("jetiter.seal.g1"), Some(Control::Seal("g1")));
        assert_eq!(ns().parse_control("jetiter.cancel.g1"), Some(Control::Cancel("g1")));
        assert_eq!(ns().parse_control("jetiter.seal.*"), None);
    }
}
