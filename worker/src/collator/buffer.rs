//! The outcomes of live groups, kept in memory while they fit: a small group is then collated
//! without being read again.

use std::collections::HashMap;

use super::outcome::Stored;

/// Outcomes by group, within a budget.
pub(crate) struct Buffer {
    budget: usize,
    used: usize,
    groups: HashMap<String, Kept>,
}

/// One group's outcomes.
#[derive(Default)]
struct Kept {
    weight: usize,
    /// `None` once the group has been let go of: it is read from the log at its end.
    outcomes: Option<Vec<Stored>>,
}

impl Buffer {
    pub(crate) fn new(budget: usize) -> Buffer {
        Buffer { budget, used: 0, groups: HashMap::new() }
    }

    /// Keeps an outcome, unless its group is let go of. Over the budget the heaviest group goes:
    /// reading it again costs the least for what it frees.
    pub(crate) fn keep(&mut self, group: &str, outcome: Stored) {
        if !self.groups.contains_key(group) {
            let kept = Kept { weight: 0, outcomes: Some(Vec::new()) };
            self.groups.insert(group.to_owned(), kept);
        }
        let Some(kept) = self.groups.get_mut(group) else {
            return;
        };
        let Some(outcomes) = &mut kept.outcomes else {
            return;
        };
        let weight = outcome.weight();
        outcomes.push(outcome);
        kept.weight += weight;
        self.used += weight;
        while self.used > self.budget {
            let heaviest = self.groups.values_mut().max_by_key(|kept| kept.weight);
            let Some(heaviest) = heaviest.filter(|kept| kept.weight > 0) else {
                return;
            };
            self.used -= std::mem::take(&mut heaviest.weight);
            heaviest.outcomes = None;
        }
    }

    /// Takes a group out; `None` when it must be read from the log.
    pub(crate) fn take(&mut self, group: &str) -> Option<Vec<Stored>> {
        let kept = self.groups.remove(group)?;
        self.used -= kept.weight;
        kept.outcomes
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_nats::Message;
    use jetiter_config::names::ItemId;

    fn outcome(index: u32) -> Stored {
        let message = Message {
            subject: "s".into(),
            reply: None,
            payload: vec![b'1'; 1000].into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        Stored::of(ItemId::Index(index), &message)
    }

    #[test]
    fn the_heaviest_group_is_let_go_of() {
        let mut buffer = Buffer::new(4 * outcome(0).weight());
        for index in 0..3 {
            buffer.keep("big", outcome(index));
        }
        buffer.keep("small", outcome(0));
        buffer.keep("small", outcome(1));
        assert!(buffer.take("big").is_none());
        assert_eq!(buffer.take("small").map(|kept| kept.len()), Some(2));
        assert_eq!(buffer.used, 0);
    }

    #[test]
    fn a_group_let_go_of_stays_so() {
        let mut buffer = Buffer::new(outcome(0).weight());
        buffer.keep("g", outcome(0));
        buffer.keep("g", outcome(1));
        buffer.keep("g", outcome(2));
        assert!(buffer.take("g").is_none());
        assert_eq!(buffer.used, 0);
    }
}
