//! Names that are tokens of a subject, checked when they are made, cheap to clone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest queue, group or namespace token, in bytes.
pub const MAX_TOKEN: usize = 64;
/// The longest function name, in bytes.
pub const MAX_FUNCTION: usize = 128;

const TOKEN_RULE: &str = "use 1 to 64 letters, digits, '_' or '-'";
const FUNCTION_RULE: &str =
    "use tokens of letters, digits, '_' or '-', joined by dots, 128 bytes in all";

pub(super) fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

pub(super) fn is_function(text: &str) -> bool {
    text.len() <= MAX_FUNCTION && text.split('.').all(is_token)
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                if $check(text) {
                    return Ok($name(text.into()));
                }
                Err(Error::Name { what: $what, value: text.to_owned(), reason: $rule })
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name!(
    /// The id of a group: one token, a UUID in simple form unless the caller brings one.
    GroupId, "group id", is_token, TOKEN_RULE
);
checked_name!(
    /// A named line of items that a pool of workers serves: one token.
    Queue, "queue", is_token, TOKEN_RULE
);
checked_name!(
    /// The dotted name of what runs, for example `math.floor`.
    Function, "function name", is_function, FUNCTION_RULE
);
checked_name!(
    /// Prefixes every subject and asset, so that several engines share one account.
    Namespace, "namespace", is_token, TOKEN_RULE
);

impl GroupId {
    /// A new id that nobody can guess.
    pub fn random() -> GroupId {
        GroupId(uuid::Uuid::new_v4().simple().to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_holds_no_wildcard_dot_or_space() {
        for bad in ["", "a.b", "*", ">", "a b", "a\n", "ü", &"x".repeat(65)] {
            assert!(bad.parse::<GroupId>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(64).parse::<GroupId>().is_ok());
        for bad in ["", ".", "a.", ".a", "a..b", "a.*", "math.>"] {
            assert!(bad.parse::<Function>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_error_names_the_value_and_the_rule() {
        let error = "a.b".parse::<GroupId>().unwrap_err().to_string();
        assert!(error.contains("a.b") && error.contains("letters"), "{error}");
    }
}
