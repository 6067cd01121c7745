//! End to end, against a real nats-server: one server for the whole run, a namespace per test.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, unreachable_pub)]

mod backup;
mod busy;
mod fuzzing;
mod groups;
mod harness;
mod log;
mod nodes;
mod processes;
mod proxy;

/// The whole way of one group, as the document behind jetiter describes it.
mod map;

/// What the README says about settings is true.
mod readme;

/// The client: waiting, options, looking at groups, deleting.
mod client;

/// What docs/django-q.md names is there.
mod docs;

/// The client's input: lazy, bounded, refused before anything is lost.
mod client_input;

/// The client's values: null, structs, wrong types.
mod client_values;

/// Running inline comes to the same as running over the broker.
mod inline;

/// What runs inline is read, listed, deleted and expires.
mod inline_results;

/// What the tests of the seed share.
mod seed;

/// What django-q's own tests demand of an iter, as jetiter keeps it: A1 to A13.
mod seed_accept;

/// The same: A14 to A25.
mod seed_accept_more;

/// The faults found in django-q's iter, which must not come back: B1 to B11.
mod seed_bugs;

/// The same: B12 to B29.
mod seed_bugs_more;

/// The program: real processes, exit codes, what is printed, real kills.
mod cli;

/// The benchmark: what it tells, what it refuses, and that nothing is left of it.
mod bench;

/// What people do to the object store.
mod results;

/// A plain NATS client submits and reads, every subject and header written out.
mod plain;

/// What breaks the protocol ends as a visible error, or is refused.
mod malformed;

/// Both encodings, seals in every order, the wire as it is written down.
mod protocol;

/// Doubles, late writers, ids used again, ends that are not completion.
mod duplicates;

/// Two collators, takeovers, replays, large groups, expiry.
mod collators;

/// How long a death is felt.
mod recovery;

/// No wait is without end.
mod patience;

/// Processes that die between two given lines.
mod crash;

/// nats-servers that die and come back.
mod outages;

/// Lines that swallow, are cut, and come back.
mod lines;

/// Streams, buckets and disks that are full.
mod limits;

/// Clocks that are wrong.
mod clock;

/// A cluster of three, its load, and what must hold after every fault.
mod cluster;
/// Credentials that are replaced while everything runs.
mod rotation;

/// A cluster whose leaders die, freeze, restart one after another or all at once.
mod cluster_leaders;

/// One node of a cluster cut off from the others.
mod cluster_cuts;

/// What a cluster stores once stays and is found.
mod cluster_reads;

/// Retries, time-outs, stops, aborts, limits.
mod workers;

/// Programs that are served as functions: children that live on.
mod commands;
/// The same: plain programs.
mod commands_once;
/// The same: what the worker's process says of them, and that it leaves none.
mod commands_process;

/// Many arguments in one message.
mod chunks;
/// The same, as the protocol tells it to other languages.
mod chunks_plain;

/// Ids used again, functions that never end, retries taken for poison.
mod attacks;
/// The fuzz targets over their corpus: every decoder that meets bytes from outside.
mod corpus;

/// Two ends of one group that race.
mod races;

/// A curious person at the streams: purged, deleted, made anew while in use.
mod streams;

/// Streams that are put back to an older state while in use.
mod restores;

/// Message ids and their window.
mod windows;

/// Numbers, texts and values at the edge of what can be said, and beyond.
mod absurd;

/// A curious person with a plain client, at keys and objects.
mod curious;

/// Results and marks that go while somebody reads.
mod expiry;

/// Small groups beside giant ones, and what holds for every lane.
mod lanes;

/// A namespace that was made before there were lanes.
mod older;

/// Bursts: messages that are stored only if those before them were.
mod bursts;

/// Fences that no other test shows.
mod fences;

/// Groups that are ended before all of their items have run.
mod cancel;

/// Outcomes as they come, and where a group stands.
mod stream;

/// Whom a seal names is told that its group is done.
mod notify;

/// The engine as a NATS micro service.
mod service;
/// docs/service.md, word for word, with the nats command line client.
mod service_docs;

/// jetiter without its Rust library: the nats command line client, and other languages.
mod languages;
