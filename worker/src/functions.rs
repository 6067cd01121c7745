//! Functions by name: from an argument's bytes to an outcome. Knows no NATS.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jetiter_config::call::{Call, Item, Outcome};
use jetiter_config::names::Function;
use jetiter_config::wire::{ErrorKind, ItemError, Signature};
use tokio::sync::oneshot;

use crate::ends::Ends;
use crate::error::Error;
use crate::handler::{Context, Fallible, Handler, Value};

/// How many names an unknown function is answered with.
const SUGGESTED: usize = 5;

pub(crate) type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Erased = Arc<dyn Fn(Context) -> Running + Send + Sync>;
type AtOnce = Arc<dyn Fn(&Item, &dyn Fn() -> Context) -> Option<Outcome> + Send + Sync>;
pub(crate) type States = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

/// The functions that a worker serves, by dotted name.
///
/// A function takes its argument, or its argument and a [`Context`]; it may be `async`. The
/// argument is decoded into the function's own type: `(f64, f64)` takes `[1, -1]`, `Vec<f64>`
/// takes `[1, 2, 3]`.
///
/// An `async` closure can't use what it captured: write
/// `move |x: f64| { let client = client.clone(); async move { .. } }`, or share it with
/// [`state`](Functions::state).
///
/// ```
/// use jetiter_worker::{Context, Functions};
///
/// let functions = Functions::new()
///     .function("text.len", |text: String| text.len())
///     .try_function("text.number", |text: String| text.parse::<f64>())
///     .function("web.size", async |address: String| address.len())
///     .function("who.am_i", |_: (), context: Context| context.item.id.to_string())
///     .blocking("disk.size", |path: String| std::fs::metadata(path).map_or(0, |m| m.len()));
/// assert_eq!(functions.names().count(), 5);
/// ```
#[derive(Clone, Default)]
pub struct Functions {
    by_name: BTreeMap<String, Served>,
    states: Arc<States>,
    ends: Option<Ends>,
    mistakes: Vec<Error>,
}

/// A function that is served.
#[derive(Clone)]
struct Served {
    erased: Erased,
    /// `None` for one that blocks.
    at_once: Option<AtOnce>,
    /// It ends within the item's time by itself: waiting for its turn is no part of that.
    own_time: bool,
    takes: Option<&'static str>,
    returns: Option<&'static str>,
}

/// A function and what it may know, for any number of items.
#[derive(Clone)]
pub(crate) struct Found {
    served: Served,
    states: Arc<States>,
    ends: Option<Ends>,
}

impl Functions {
    /// No functions yet.
    pub fn new() -> Functions {
        Functions::default()
    }

    /// Serves a function that returns its value. It runs on the runtime's own threads: one that
    /// computes for more than some milliseconds, or waits without `await`, belongs in
    /// [`blocking`](Self::blocking).
    pub fn function<K, H: Handler<(Value, K)>>(self, name: &str, function: H) -> Functions {
        self.insert_value::<K, H>(name, Served::inline(function))
    }

    /// Serves a function that returns a `Result`. Its error becomes the item's error, and is
    /// what the item's retries answer.
    pub fn try_function<K, H: Handler<(Fallible, K)>>(self, name: &str, function: H) -> Functions {
        self.insert(name, Served::inline(function))
    }

    /// Serves a function that returns its value and blocks: it runs on a thread of its own. One
    /// that outlives its time-out can't be stopped, only left behind on that thread.
    pub fn blocking<K, H: Handler<(Value, K)>>(self, name: &str, function: H) -> Functions {
        self.insert_value::<K, H>(name, Served::on_thread(function))
    }

    /// Serves a function that returns a `Result` and blocks.
    pub fn try_blocking<K, H: Handler<(Fallible, K)>>(self, name: &str, function: H) -> Functions {
        self.insert(name, Served::on_thread(function))
    }

    /// Serves a function that takes the item as it is, and keeps its time by itself.
    pub(crate) fn own_time<F>(self, name: &str, function: F) -> Functions
    where
        F: Fn(Item) -> Running + Send + Sync + 'static,
    {
        // Told to stop, it is dropped: nobody waits for it any more.
        let erased: Erased = Arc::new(move |context: Context| {
            let call = function(context.item.clone());
            Box::pin(async move {
                // All of it: what hears of the end is a part that nothing here names.
                let context = context;
                tokio::select! {
                    biased;
                    () = context.stop.cancelled() => {
                        Err(ItemError::new(ErrorKind::Lost, "its group ended while it ran"))
                    }
                    outcome = call => outcome,
                }
            })
        });
        self.insert(
            name,
            Served { erased, at_once: None, own_time: true, takes: None, returns: None },
        )
    }

    /// Shares a value with all functions: [`Context::state`].
    pub fn state<T: Send + Sync + 'static>(mut self, state: T) -> Functions {
        Arc::make_mut(&mut self.states).insert(TypeId::of::<T>(), Arc::new(state));
        self
    }

    /// Runs nothing more of a group whose end was heard of, and tells the functions that run for it:
    /// [`Context::stop`].
    pub(crate) fn told_by(mut self, ends: &Ends) -> Functions {
        self.ends = Some(ends.clone());
        self
    }

    /// Serves another set's functions too.
    pub fn include(mut self, other: Functions) -> Functions {
        self.mistakes.extend(other.mistakes);
        Arc::make_mut(&mut self.states).extend((*other.states).clone());
        for (name, served) in other.by_name {
            self = self.insert(&name, served);
        }
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The names with the Rust types of arguments and values, in order.
    pub(crate) fn signatures(&self) -> Vec<Signature> {
        let signature = |(name, served): (&String, &Served)| Signature {
            name: name.clone(),
            takes: served.takes.map(short_type),
            returns: served.returns.map(value_type).map(short_type),
        };
        self.by_name.iter().map(signature).collect()
    }

    /// Refuses a set that was put together wrongly: a malformed name, a name given twice, a
    /// `Result` where a value should be.
    pub fn check(&self) -> Result<(), Error> {
        self.mistakes.first().cloned().map_or(Ok(()), Err)
    }

    /// Whether this function ends in time by itself, and waiting for its turn is no part of that.
    pub(crate) fn keeps_time(&self, function: &Function) -> bool {
        self.by_name.get(function.as_str()).is_some_and(|served| served.own_time)
    }

    /// The function of this name, or what an item that wants it comes to.
    pub(crate) fn find(&self, function: &Function) -> Result<Found, ItemError> {
        match self.by_name.get(function.as_str()) {
            Some(served) => Ok(Found {
                served: served.clone(),
                states: self.states.clone(),
                ends: self.ends.clone(),
            }),
            None => Err(ItemError::new(ErrorKind::UnknownFunction, self.unknown(function))),
        }
    }

    /// As [`Call::call`], at a small part of the cost where there is nothing to wait for.
    pub(crate) async fn run(&self, item: &Item) -> Outcome {
        match self.run_at_once(item) {
            Ok(outcome) => outcome,
            Err(call) => call.await,
        }
    }

    /// The outcome, where there is nothing to wait for, or else the call.
    pub(crate) fn run_at_once(&self, item: &Item) -> Result<Outcome, Running> {
        match self.find(&item.function) {
            Err(error) => Ok(Err(error)),
            Ok(found) => found.at_once(item).ok_or_else(|| found.call(item.clone())),
        }
    }

    /// The nearest names help against a slip; all of them would be a wall.
    fn unknown(&self, function: &Function) -> String {
        let mut names: Vec<&str> = self.names().collect();
        let distance = |name: &&str| strsim::damerau_levenshtein(name, function.as_str());
        names.sort_by_key(distance);
        names.truncate(SUGGESTED);
        format!("no function {function} is served here; the nearest are {}", names.join(", "))
    }

    fn insert(mut self, name: &str, served: Served) -> Functions {
        if name.parse::<Function>().is_err() {
            return self.mistake(Error::BadName { name: name.to_owned() });
        }
        if self.by_name.insert(name.to_owned(), served).is_some() {
            return self.mistake(Error::NameTwice { name: name.to_owned() });
        }
        self
    }

    fn insert_value<K, H: Handler<(Value, K)>>(self, name: &str, served: Served) -> Functions {
        // Taken as a value it would be stored as {"Err": ..}, and counted as a success.
        if H::returns().starts_with("core::result::Result<") {
            return self.mistake(Error::ReturnsResult { name: name.to_owned() });
        }
        self.insert(name, served)
    }

    fn mistake(mut self, mistake: Error) -> Functions {
        self.mistakes.push(mistake);
        self
    }
}

impl Call for Functions {
    fn check(&self) -> Result<(), String> {
        Functions::check(self).map_err(|error| error.to_string())
    }

    fn call(&self, item: Item) -> Pin<Box<dyn Future<Output = Outcome> + Send + '_>> {
        match self.find(&item.function) {
            Ok(found) => found.call(item),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

impl Found {
    /// Runs one item, as [`Call::call`] does.
    pub(crate) fn call(&self, item: Item) -> Running {
        let limit = if self.served.own_time { Duration::MAX } else { item.timeout };
        let heard = self.heard(&item).cloned();
        let (states, ends) = (self.states.clone(), self.ends.clone());
        let function = self.served.erased.clone();
        Box::pin(async move {
            if let Some(ends) = heard
                && ends.is_over(&item.group).await
            {
                // Stored behind the group's end, it is removed with what came too late; and it tells the
                // collator that something of the group came behind the end.
                return Err(ItemError::new(ErrorKind::Lost, "its group ended before it began"));
            }
            let context = Context::new(item, states, ends.as_ref());
            // Told at the end of the call, however it ends, so that what it left behind can stop.
            let _told = context.stop.clone().drop_guard();
            let running = AssertUnwindSafe(async move { function(context).await });
            let mut running = Box::pin(running.catch_unwind());
            match tokio::time::timeout(limit, &mut running).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(panic)) => Err(panicked(panic)),
                Err(_) => {
                    // What it holds may panic when it is dropped.
                    catch_unwind(AssertUnwindSafe(|| drop(running))).map_err(panicked).ok();
                    Err(timed_out(limit))
                }
            }
        })
    }

    /// Where to ask whether the item's group is over, if that is in question.
    fn heard(&self, item: &Item) -> Option<&Ends> {
        self.ends.as_ref().filter(|ends| ends.is_heard(&item.group))
    }

    /// The outcome of a function that has nothing to wait for, at a small part of the cost; `None`
    /// for any other.
    pub(crate) fn at_once(&self, item: &Item) -> Option<Outcome> {
        let at_once = self.served.at_once.as_ref().filter(|_| self.heard(item).is_none())?;
        // To hear of the group's end costs more than a function that waits for nothing.
        let context = || Context::new(item.clone(), self.states.clone(), None);
        let outcome = catch_unwind(AssertUnwindSafe(|| at_once(item, &context)));
        outcome.unwrap_or_else(|panic| Some(Err(panicked(panic))))
    }
}

impl Served {
    fn inline<K, H: Handler<K>>(function: H) -> Served {
        let function = Arc::new(function);
        let at_once = function.clone();
        Served {
            erased: Arc::new(move |context| Box::pin(function.invoke(context))),
            at_once: Some(Arc::new(move |item, context| at_once.at_once(item, context))),
            own_time: false,
            takes: Some(H::takes()),
            returns: Some(H::returns()),
        }
    }

    fn on_thread<K, H: Handler<K>>(function: H) -> Served {
        let erased = on_thread(Arc::new(function));
        let (takes, returns) = (Some(H::takes()), Some(H::returns()));
        Served { erased, at_once: None, own_time: false, takes, returns }
    }
}

/// What a function returns when it does not fail.
fn value_type(name: &str) -> &str {
    let Some(both) = name.strip_prefix("core::result::Result<") else { return name };
    let mut depth = 0;
    let end = both.find(|c| {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    });
    &both[..end.unwrap_or(both.len())]
}

/// A type's name without the paths in it: `Vec<String>`.
fn short_type(name: &str) -> String {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut short = String::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_path(c)).unwrap_or(rest.len());
        let (path, behind) = rest.split_at(end.max(first.len_utf8()));
        short.push_str(path.rsplit("::").next().unwrap_or(path));
        rest = behind;
    }
    short
}

/// What an item that took too long comes to.
pub(crate) fn timed_out(limit: Duration) -> ItemError {
    ItemError::new(ErrorKind::TimedOut, format!("took longer than its time-out of {limit:?}"))
}

fn on_thread<K, H: Handler<K>>(function: Arc<H>) -> Erased {
    Arc::new(move |context| {
        let function = function.clone();
        let runtime = tokio::runtime::Handle::current();
        let (ended, outcome) = oneshot::channel();
        let run = move || {
            let _inside = runtime.enter();
            let invoke = AssertUnwindSafe(|| runtime.block_on(function.invoke(context)));
            let outcome = catch_unwind(invoke).unwrap_or_else(|panic| Err(panicked(panic)));
            // Nobody waits for it any more after its time-out.
            ended.send(outcome).ok();
        };
        // Not tokio's pool: calls that hang would fill it, others wait in it while their time
        // runs, and a host name could not be looked up any more.
        let thread = std::thread::Builder::new().name("blocking function".to_owned()).spawn(run);
        Box::pin(async move {
            let lost = |reason: String| Err(ItemError::new(ErrorKind::Lost, reason));
            match thread {
                Ok(_) => outcome.await.unwrap_or_else(|_| lost("its thread ended".to_owned())),
                Err(error) => lost(format!("the worker has no thread for it: {error}")),
            }
        })
    })
}

fn panicked(panic: Box<dyn Any + Send>) -> ItemError {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    if text.is_none() {
        // To drop what is no text may panic again, and here nobody would catch it.
        std::mem::forget(panic);
    }
    ItemError::new(ErrorKind::Panicked, text.unwrap_or_else(|| "panicked".to_owned()))
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
