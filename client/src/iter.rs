//! A group that is put together argument by argument.

use std::time::Duration;

use jetiter_config::names::GroupId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::error::Error;
use crate::options::Options;
use crate::result::Fetched;

/// Collects arguments, runs them as one group, reads its result.
///
/// [`run`](Self::run) submits all arguments as a new group; run twice, it makes two groups. What
/// is appended after a run is part of the next one: [`result`](Self::result) and
/// [`fetch`](Self::fetch) answer for the group that was run last.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use jetiter_client::{Client, FOREVER, Iter};
/// # let functions = jetiter_worker::math::functions();
/// let client = Client::sync(functions)?;
/// let mut iter = Iter::new(&client, "math.copysign");
/// iter.append((1, -1));
/// iter.append((2, -1));
/// assert_eq!(iter.append((3, -1)), 3);
/// iter.run().await?;
/// let list: Option<Vec<f64>> = iter.result(FOREVER).await?;
/// assert_eq!(list, Some(vec![-1.0, -2.0, -3.0]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Iter<A> {
    client: Client,
    function: String,
    arguments: Vec<A>,
    options: Options,
    group: Option<GroupId>,
}

impl<A: Serialize + Sync> Iter<A> {
    /// No arguments yet. The client says which broker: a connection and a namespace, or none.
    pub fn new(client: &Client, function: impl Into<String>) -> Iter<A> {
        Iter {
            client: client.clone(),
            function: function.into(),
            arguments: Vec::new(),
            options: Options::new(),
            group: None,
        }
    }

    /// Chooses options for the runs to come.
    pub fn options(self, options: Options) -> Iter<A> {
        Iter { options, ..self }
    }

    /// Adds one argument (several come as a tuple) and returns how many there are now.
    pub fn append(&mut self, argument: A) -> usize {
        self.arguments.push(argument);
        self.arguments.len()
    }

    /// How many arguments there are.
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// Whether there are none; run, that is a group whose list is empty.
    pub fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// The group that was run last.
    pub fn group(&self) -> Option<&GroupId> {
        self.group.as_ref()
    }

    /// Submits all arguments as a new group and returns its id.
    pub async fn run(&mut self) -> Result<GroupId, Error> {
        let group = self.client.async_iter(&self.function, &self.arguments, &self.options).await?;
        self.group = Some(group.clone());
        Ok(group)
    }

    /// The list of the last run, as [`Client::result`].
    pub async fn result<T: DeserializeOwned>(
        &self,
        wait: Duration,
    ) -> Result<Option<Vec<T>>, Error> {
        self.client.result(self.group.as_ref().ok_or(Error::NotRun)?, wait).await
    }

    /// List and records of the last run, as [`Client::fetch`].
    pub async fn fetch<T: DeserializeOwned>(
        &self,
        wait: Duration,
    ) -> Result<Option<Fetched<T>>, Error> {
        self.client.fetch(self.group.as_ref().ok_or(Error::NotRun)?, wait).await
    }
}

impl<A> Extend<A> for Iter<A> {
    fn extend<I: IntoIterator<Item = A>>(&mut self, arguments: I) {
        self.arguments.extend(arguments);
    }
}
