//! Which Rust functions can be served: `|argument|` or `|argument, context|`, plain or async.

use std::any::{TypeId, type_name};
use std::fmt::Display;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::sync::Arc;

use jetiter_config::call::{Item, Outcome};
use jetiter_config::wire::{ErrorKind, ItemError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::ends::{Ends, Watch};
use crate::functions::States;

/// What a function may know of the item it runs for, besides the argument.
#[derive(Clone)]
pub struct Context {
    /// The item: group, id, attempt and the rest.
    pub item: Item,
    /// Cancelled when nobody waits for the value any more: the item's time is over, or its group
    /// was cancelled. A blocking function that looks at it now and then can end early.
    pub stop: CancellationToken,
    states: Arc<States>,
    /// Kept for as long as somebody may look at `stop`.
    _watch: Option<Arc<Watch>>,
}

impl Context {
    pub(crate) fn new(item: Item, states: Arc<States>, ends: Option<&Ends>) -> Context {
        let watch = ends.map(|ends| Arc::new(ends.watch(&item.group)));
        let stop = watch.as_ref().map_or_else(CancellationToken::new, |w| w.told.child_token());
        Context { item, stop, states, _watch: watch }
    }

    /// What was shared under this type with [`Functions::state`](crate::Functions::state);
    /// `None` when nothing was.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.states.get(&TypeId::of::<T>())?.clone().downcast().ok()
    }
}

/// A function that can be served: `|argument|` or `|argument, context|`, plain or async. `K` tells
/// the kinds apart and is never named.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be served as a function",
    label = "takes one deserializable argument, and a `Context` if it likes",
    note = "the argument must be owned (`String`, not `&str`); several come as one tuple: \
            `|(x, y): (f64, f64)|`; what returns a `Result` belongs in `try_function`"
)]
pub trait Handler<K>: Send + Sync + 'static {
    #[doc(hidden)]
    fn invoke(&self, context: Context) -> impl Future<Output = Outcome> + Send + 'static;
    #[doc(hidden)]
    fn takes() -> &'static str;
    #[doc(hidden)]
    fn returns() -> &'static str;
    /// The outcome of a function that has nothing to wait for: what a chunk of many cheap calls
    /// runs on, so it makes no future and, where none is wanted, no context.
    #[doc(hidden)]
    fn at_once(&self, _item: &Item, _context: &dyn Fn() -> Context) -> Option<Outcome> {
        None
    }
}

/// Marks functions that return their value.
pub struct Value;
/// Marks functions that return a `Result`.
pub struct Fallible;
#[doc(hidden)]
pub struct Plain<A>(PhantomData<A>);
#[doc(hidden)]
pub struct PlainWithContext<A>(PhantomData<A>);
#[doc(hidden)]
pub struct Async<A>(PhantomData<A>);
#[doc(hidden)]
pub struct AsyncWithContext<A>(PhantomData<A>);

fn argument<A: DeserializeOwned>(item: &Item) -> Result<A, ItemError> {
    item.encoding.decode(&item.argument).map_err(|error| {
        let reason = error.reason();
        let message = format!("{} can't take this argument: {reason}", item.function);
        ItemError::new(ErrorKind::BadArgument, message)
    })
}

fn value<T: Serialize>(item: &Item, value: T) -> Outcome {
    let bytes = item.encoding.encode(&value);
    bytes.map_err(|error| ItemError::new(ErrorKind::BadValue, error))
}

fn fallible<T: Serialize, E: Display>(item: &Item, returned: Result<T, E>) -> Outcome {
    match returned {
        Ok(value) => self::value(item, value),
        // The alternate form tells the causes too, where an error type has one.
        Err(error) => Err(ItemError::new(ErrorKind::Failed, format!("{error:#}"))),
    }
}

macro_rules! handlers {
    ($mode:ty, $finish:ident, $returned:ty, [$($generic:ident: $bound:path),+]) => {
        impl<F, A, $($generic),+> Handler<($mode, Plain<A>)> for F
        where
            F: Fn(A) -> $returned + Send + Sync + 'static,
            A: DeserializeOwned + 'static,
            $($generic: $bound),+
        {
            fn invoke(&self, context: Context) -> impl Future<Output = Outcome> + Send + 'static {
                ready(argument(&context.item).and_then(|a| $finish(&context.item, self(a))))
            }
            fn takes() -> &'static str { type_name::<A>() }
            fn returns() -> &'static str { type_name::<$returned>() }
            fn at_once(&self, item: &Item, _: &dyn Fn() -> Context) -> Option<Outcome> {
                Some(argument(item).and_then(|a| $finish(item, self(a))))
            }
        }

        impl<F, A, $($generic),+> Handler<($mode, PlainWithContext<A>)> for F
        where
            F: Fn(A, Context) -> $returned + Send + Sync + 'static,
            A: DeserializeOwned + 'static,
            $($generic: $bound),+
        {
            fn invoke(&self, context: Context) -> impl Future<Output = Outcome> + Send + 'static {
                let item = context.item.clone();
                ready(argument(&item).and_then(|a| $finish(&item, self(a, context))))
            }
            fn takes() -> &'static str { type_name::<A>() }
            fn returns() -> &'static str { type_name::<$returned>() }
            fn at_once(&self, item: &Item, context: &dyn Fn() -> Context) -> Option<Outcome> {
                let context = context();
                let _told = context.stop.clone().drop_guard();
                Some(argument(item).and_then(|a| $finish(item, self(a, context))))
            }
        }

        impl<F, A, R, $($generic),+> Handler<($mode, Async<A>)> for F
        where
            F: Fn(A) -> R + Send + Sync + 'static,
            R: Future<Output = $returned> + Send + 'static,
            A: DeserializeOwned + 'static,
            $($generic: $bound),+
        {
            fn invoke(&self, context: Context) -> impl Future<Output = Outcome> + Send + 'static {
                let running = argument(&context.item).map(self);
                async move { $finish(&context.item, running?.await) }
            }
            fn takes() -> &'static str { type_name::<A>() }
            fn returns() -> &'static str { type_name::<$returned>() }
        }

        impl<F, A, R, $($generic),+> Handler<($mode, AsyncWithContext<A>)> for F
        where
            F: Fn(A, Context) -> R + Send + Sync + 'static,
            R: Future<Output = $returned> + Send + 'static,
            A: DeserializeOwned + 'static,
            $($generic: $bound),+
        {
            fn invoke(&self, context: Context) -> impl Future<Output = Outcome> + Send + 'static {
                let item = context.item.clone();
                let running = argument(&item).map(|a| self(a, context));
                async move { $finish(&item, running?.await) }
            }
            fn takes() -> &'static str { type_name::<A>() }
            fn returns() -> &'static str { type_name::<$returned>() }
        }
    };
}

handlers!(Value, value, T, [T: Serialize]);
handlers!(Fallible, fallible, Result<T, E>, [T: Serialize, E: Display]);
