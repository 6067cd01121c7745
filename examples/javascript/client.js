// A jetiter client in JavaScript: the packages of nats.js and docs/protocol.md, nothing else.
//
//   node client.js submit GROUP FUNCTION ARGUMENT...   arguments are JSON
//   node client.js follow GROUP                        how far it is, until it is done
//   node client.js stream GROUP                        each outcome as soon as it is there
//   node client.js read GROUP                          the list with its records
//
// NATS_URL and JETITER_NAMESPACE say where. Everything is printed as one JSON value a line.

import { setTimeout as sleep } from "node:timers/promises";
import { randomUUID } from "node:crypto";
import { connect, headers } from "@nats-io/transport-node";
import { DeliverPolicy, jetstream } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";

const NS = process.env.JETITER_NAMESPACE ?? "jetiter";
const LOOK_AGAIN = 5000; // milliseconds: events can be lost, so whoever waits looks now and then
const IN_FLIGHT = 256; // items published and not yet acknowledged
const TRIES = 300; // a tenth of a second apart

// Publishes until the server says that it is stored. Its message id makes a second try harmless.
async function store(js, subject, payload, fields) {
  const set = headers();
  for (const [name, value] of Object.entries(fields)) set.set(name, value);
  for (;;) {
    try {
      return await js.publish(subject, payload, { headers: set });
    } catch (error) {
      if (error.name !== "TimeoutError") throw error;
    }
  }
}

// Publishes the items, and after the last acknowledgement the seal: it says how many there are.
async function submit(js, group, name, args, queue = "default") {
  const run = randomUUID();
  const subject = `${NS}.item.${queue}.${group}.${name}`;
  for (let first = 0; first < args.length; first += IN_FLIGHT) {
    const some = args.slice(first, first + IN_FLIGHT);
    await Promise.all(some.map((argument, at) => {
      const index = first + at;
      const fields = { "Jetiter-Index": `${index}`, "Nats-Msg-Id": `${run}.${index}` };
      return store(js, subject, JSON.stringify(argument), fields);
    }));
  }
  const fields = { "Jetiter-Function": name, "Nats-Msg-Id": `${run}.seal` };
  await store(js, `${NS}.seal.${group}`, `${args.length}`, fields);
}

// What is said of a group's result, or of its records; undefined while there is none.
async function summary(results, name) {
  const info = await results.info(name);
  return info && !info.deleted ? info.metadata : undefined;
}

// Yields each event's kind and content, until the group is done.
async function* follow(nc, results, group) {
  const events = nc.subscribe(`${NS}.event.${group}.*`);
  await nc.flush(); // subscribed before the first look: nothing falls between the two
  const timer = setInterval(look, LOOK_AGAIN);
  let found;
  // A look that fails is made again by the next tick.
  async function look() {
    found = await summary(results, group).catch(() => undefined);
    if (found) events.unsubscribe();
  }
  await look();
  for await (const event of events) {
    const kind = event.subject.split(".").at(-1);
    if (kind === "done") break;
    yield [kind, event.json()];
  }
  clearInterval(timer);
  yield ["done", found ?? await summary(results, group)];
}

// Yields [index, value, error] of each item as soon as it has an outcome, each once.
//
// The keys of the cache tell them while the group lives. When it is done its keys are removed, also
// those that have not come here yet: these are read from the list. So none is missed and none comes
// twice, whenever one begins to look.
async function* stream(nc, js, results, group) {
  // Not the watch of @nats-io/kv: it hides the headers, which tell a value from an error.
  const keys = `$KV.${NS}-cache.item.${group}.>`;
  const cache = await js.consumers.get(`KV_${NS}-cache`, {
    filter_subjects: [keys],
    deliver_policy: DeliverPolicy.All,
  });
  const entries = await cache.consume();
  const done = nc.subscribe(`${NS}.event.${group}.done`, { callback: () => entries.stop() });
  await nc.flush();
  const look = async () => {
    if (await summary(results, group).catch(() => undefined)) entries.stop();
  };
  const timer = setInterval(look, LOOK_AGAIN);
  await look();
  const seen = new Set();
  for await (const entry of entries) {
    for (const [index, value, error] of outcomes(entry)) {
      if (seen.has(index)) continue;
      seen.add(index);
      yield [index, value, error];
    }
  }
  clearInterval(timer);
  done.unsubscribe();
  for (const [value, record] of await read(results, group)) {
    if (!seen.has(record.index)) yield [record.index, value, record.error ?? null];
  }
}

// The outcomes in one entry of the cache: one, or those of several neighbours.
function outcomes(entry) {
  const body = entry.json();
  const failed = entry.headers?.get("Jetiter-Status") === "error";
  const key = entry.subject.split(".").at(-1);
  const span = /^(\d+)-\d+$/.exec(key);
  if (span) {
    const errors = new Map(body.errors ?? []);
    return body.values.map((value, at) => [Number(span[1]) + at, value, errors.get(at) ?? null]);
  }
  // One that was published without an index is known by a text.
  const index = key.startsWith("n") ? key : Number(key);
  return [failed ? [index, null, body] : [index, body, null]];
}

// The list in completion order, each value with its record; null for the value of a failed item.
async function read(results, group) {
  const found = await summary(results, group);
  if (!found) throw new Error(`there is no result of ${group}`);
  // The records are there a moment after the list; those of an earlier group of this name are not ours.
  for (let tries = 0; (await summary(results, `${group}.records`))?.records !== found.records; tries++) {
    if (tries === TRIES) throw new Error(`the records of ${group} do not come`);
    await sleep(100);
  }
  const parse = async (name) => JSON.parse(new TextDecoder().decode(await results.getBlob(name)));
  const values = await parse(group);
  const records = await parse(`${group}.records`);
  // Behind the list's records stand those of items out of range.
  return values.map((value, at) => [value, records[at]]);
}

const show = (what) => console.log(JSON.stringify(what));

const [command, group, ...rest] = process.argv.slice(2);
const nc = await connect({ servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222" });
const js = jetstream(nc);
const results = await new Objm(js).open(`${NS}-results`);
if (command === "submit") {
  const [name, ...args] = rest;
  await submit(js, group, name, args.map((argument) => JSON.parse(argument)));
} else if (command === "follow") {
  for await (const [event, content] of follow(nc, results, group)) show({ event, content });
} else if (command === "stream") {
  for await (const [index, value, error] of stream(nc, js, results, group)) show({ index, value, error });
} else if (command === "read") {
  for (const [value, record] of await read(results, group)) show({ value, record });
} else {
  console.error("use submit, follow, stream or read, then the group");
  process.exitCode = 2;
}
await nc.drain();
