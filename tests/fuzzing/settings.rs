//! Settings and contexts.

use figment::Figment;
use figment::providers::{Format, Toml};
use jetiter_config::Settings;
use jetiter_config::settings::{explain, flags};
use serde_json::json;

/// Stands where it must never be told.
const SECRET: &str = "s3cr3t-s3cr3t";

/// Any text as the content of `jetiter.toml`.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let file = Figment::from(Toml::string(&text));
    // A context is a file of its own: it has a target of its own.
    if text.contains(SECRET) || file.find_value("context").is_ok() {
        return;
    }
    load(&file);
    for secret in ["password", "token"] {
        tells_nothing(&file.clone().merge(flags(json!({ secret: SECRET }))));
        tells_nothing(&Figment::from(Toml::string(&format!("{secret} = '{SECRET}'\n{text}"))));
    }
    let server = format!("nats://u:{SECRET}@h,{text}");
    tells_nothing(&file.merge(flags(json!({ "server": server }))));
}

fn load(file: &Figment) {
    explain(file);
    let Ok(settings) = Settings::load(file) else { return };
    // Sizes and times are shown in words: they mean the same when they are read again.
    let shown = serde_json::to_value(&settings).expect("JSON");
    let again = Figment::new().merge(flags(&shown));
    let again = Settings::load(&again).expect("what is shown can be loaded");
    assert_eq!(serde_json::to_value(&again).expect("JSON"), shown);
}

fn tells_nothing(figment: &Figment) {
    let told = match Settings::load(figment) {
        Ok(settings) => format!("{settings:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!told.contains(SECRET), "{told}");
    let told = format!("{:?}", explain(figment));
    assert!(!told.contains(SECRET), "{told}");
}

/// Any text as a context of the nats CLI.
pub fn context(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let values = match jetiter_config::fuzzing::context(&text) {
        Ok(values) => values,
        Err(reason) => {
            // The fault's place, never what stands there.
            assert!(reason.len() < 200, "{reason}");
            return;
        }
    };
    let shown = serde_json::to_value(&values).expect("JSON");
    for (key, value) in shown.as_object().expect("a section") {
        assert!(value.as_str().is_none_or(|text| !text.is_empty()), "{key} is empty");
    }
    let known = serde_json::to_value(Settings::default()).expect("JSON");
    assert!(values.keys().all(|key| known.get(key).is_some()), "{shown}");
    Settings::load(&Figment::new().merge(flags(&shown))).ok();
}
