//! The endpoints, and the JSON Schema of what each takes and answers, which their metadata carries.

use std::collections::HashMap;

use serde_json::{Value, json};

/// An endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    Status,
    Result,
    Records,
    Cancel,
    Functions,
}

impl Kind {
    pub(super) const ALL: [Kind; 6] =
        [Kind::Map, Kind::Status, Kind::Result, Kind::Records, Kind::Cancel, Kind::Functions];

    /// Its name, which is the last token of its subject.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Map => "map",
            Kind::Status => "status",
            Kind::Result => "result",
            Kind::Records => "records",
            Kind::Cancel => "cancel",
            Kind::Functions => "functions",
        }
    }

    pub(super) fn metadata(self) -> HashMap<String, String> {
        let texts = [
            ("description", self.description().to_owned()),
            ("request", self.request().to_string()),
            ("answer", self.answer().to_string()),
        ];
        texts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    fn description(self) -> &'static str {
        match self {
            Kind::Map => "map a function over arguments: the group's id, or its list after wait",
            Kind::Status => "how far a group is",
            Kind::Result => "a group's list, or where it is when it is large",
            Kind::Records => "a group's records, or where they are when they are large",
            Kind::Cancel => "end a group with the outcomes that it has",
            Kind::Functions => "the functions that live workers serve",
        }
    }

    /// The schema of the request.
    pub(super) fn request(self) -> Value {
        let group = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$" });
        let time = json!({ "type": "string", "examples": ["30s", "1h 30m"] });
        let about = |more: &[(&str, &Value)]| {
            let mut properties = json!({ "group": group });
            for (name, schema) in more {
                properties[*name] = (*schema).clone();
            }
            object(properties, &["group"])
        };
        match self {
            Kind::Map => object(
                json!({
                    "function": { "type": "string", "examples": ["math.floor"] },
                    "arguments": { "type": "array" },
                    "queue": { "type": "string", "default": "default" },
                    "label": { "type": "string", "maxLength": 256 },
                    "timeout": time,
                    "retries": { "type": "integer", "minimum": 0, "default": 0 },
                    "chunk": { "anyOf": [
                        { "type": "integer", "minimum": 1, "maximum": 65536 },
                        { "const": "auto" },
                    ] },
                    "cached": time,
                    "group": group,
                    "notify": { "type": "string" },
                    "wait": time,
                }),
                &["function", "arguments"],
            ),
            Kind::Result | Kind::Records | Kind::Cancel => about(&[("wait", &time)]),
            Kind::Status => about(&[]),
            Kind::Functions => object(json!({}), &[]),
        }
    }

    /// The schema of the answer.
    pub(super) fn answer(self) -> Value {
        let count = || json!({ "type": "integer", "minimum": 0 });
        let text = || json!({ "type": "string" });
        let maybe = |kind: &str| json!({ "type": [kind, "null"] });
        let mut group = json!({
            "group": text(),
            "state": { "enum": ["running", "cancelling", "complete", "cancelled", "abandoned"] },
            "total": maybe("integer"), "ok": count(), "failed": count(), "extra": count(),
            "function": maybe("string"), "label": maybe("string"), "encoding": text(),
            "keep_ms": maybe("integer"), "started_ms": count(), "finished_ms": count(),
        });
        let mut with = |more: Value| {
            for (name, schema) in more.as_object().into_iter().flatten() {
                group[name] = schema.clone();
            }
            json!({ "type": "object", "properties": group, "required": ["group", "state"] })
        };
        let object = json!({ "bucket": text(), "object": text() });
        let merged = |mut list: Value| {
            list["bucket"] = object["bucket"].clone();
            list["object"] = object["object"].clone();
            list
        };
        match self {
            Kind::Map | Kind::Result => with(merged(json!({ "list": { "type": "array" } }))),
            Kind::Records => with(merged(json!({ "records": { "type": "array" } }))),
            Kind::Status => with(json!({ "done": count(), "waiting": count() })),
            Kind::Cancel => with(json!({})),
            Kind::Functions => json!({
                "type": "object",
                "properties": { "queues": { "type": "array", "items": {
                    "type": "object",
                    "properties": {
                        "queue": text(),
                        "workers": count(),
                        "functions": { "type": "array", "items": {
                            "type": "object",
                            "properties": { "name": text(), "takes": text(), "returns": text() },
                            "required": ["name"],
                        } },
                    },
                    "required": ["queue", "workers", "functions"],
                } } },
                "required": ["queues"],
            }),
        }
    }
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::ask::{Group, Map, Now, read};

    /// What a request may hold, by the error for what it may not.
    fn fields<T: serde::de::DeserializeOwned>() -> Vec<String> {
        let Err(fault) = read::<T>("x", br#"{"":1}"#) else { panic!("refused") };
        let text = fault.to_string();
        let mut fields: Vec<_> = text.split('`').skip(3).step_by(2).map(str::to_owned).collect();
        fields.sort();
        fields
    }

    fn properties(kind: Kind) -> Vec<String> {
        let schema = kind.request();
        let mut names: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    }

    #[test]
    fn the_schemas_tell_what_requests_may_hold() {
        assert_eq!(properties(Kind::Map), fields::<Map>());
        assert_eq!(properties(Kind::Result), fields::<Group>());
        assert_eq!(properties(Kind::Status), fields::<Now>());
        assert!(properties(Kind::Functions).is_empty());
    }
}
