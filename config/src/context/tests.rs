use figment::Jail;
use secrecy::ExposeSecret;

use crate::error::Error;
use crate::settings::{Settings, explain, flags};

#[allow(clippy::result_large_err, reason = "the closure returns figment's error")]
/// Runs with one context `prod` of this content, selected, and the settings naming `name`.
fn jailed(name: &'static str, content: &str, test: impl FnOnce(&mut Jail)) {
    Jail::expect_with(|jail| {
        jail.clear_env();
        let home = jail.directory().to_path_buf();
        jail.set_env("HOME", home.display());
        jail.create_dir(".config/nats/context")?;
        jail.create_file(".config/nats/context/prod.json", content)?;
        jail.create_file(".config/nats/context/test.json", "{}")?;
        jail.create_file(".config/nats/context.txt", "prod\n")?;
        jail.create_file("jetiter.toml", &format!("context = '{name}'"))?;
        test(jail);
        Ok(())
    });
}

fn load() -> Result<Settings, Error> {
    Settings::load(&Settings::figment(None))
}

const PROD: &str = r#"{
    "description": "x", "url": "tls://a:1,tls://b:1", "token": "", "user": "ann",
    "password": "s9876", "creds": "", "nkey": "", "cert": "~/c.pem", "key": "/k.pem", "ca": "",
    "nsc": "", "jetstream_domain": "", "inbox_prefix": "_I", "tls_first": true, "color_scheme": "y"
}"#;

#[test]
fn a_context_fills_what_is_not_set() {
    jailed("prod", PROD, |jail| {
        let settings = load().unwrap();
        assert_eq!(settings.server, "tls://a:1,tls://b:1");
        assert_eq!(settings.user.as_deref(), Some("ann"));
        assert_eq!(settings.password.unwrap().expose_secret(), "s9876");
        assert_eq!(settings.tls_cert.unwrap(), jail.directory().join("c.pem"));
        assert_eq!(settings.inbox_prefix.as_deref(), Some("_I"));
        assert!(settings.tls_first && settings.context.is_none());
        let all = explain(&Settings::figment(None));
        let of = |key| all.iter().find(|one| one.key == key).unwrap();
        assert_eq!(
            (of("user").value.as_str(), of("user").source.as_str()),
            ("ann", "context prod")
        );
        assert_eq!(of("password").value, "[hidden]");
        assert_eq!(of("context").source, "file jetiter.toml");
    });
}

#[test]
fn what_is_set_wins_and_a_login_is_one_thing() {
    jailed("prod", PROD, |jail| {
        // The address is the default's, yet it was said: the context must not move it.
        jail.set_env("NATS_URL", "nats://127.0.0.1:4222");
        jail.set_env("JETITER_TOKEN", "t");
        let settings = load().unwrap();
        assert_eq!(settings.server, "nats://127.0.0.1:4222");
        assert!(settings.token.is_some() && settings.user.is_none());
        jail.set_env("JETITER_TOKEN", "");
        assert_eq!(load().unwrap().user.as_deref(), Some("ann"));
        jail.set_env("NATS_URL", "nats://eve:x@127.0.0.1:4222");
        assert!(load().unwrap().user.is_none());
        let no_tls = flags(serde_json::json!({ "tls_first": false }));
        assert!(!Settings::load(&Settings::figment(None).merge(no_tls)).unwrap().tls_first);
    });
}

#[test]
fn settings_made_by_hand_are_filled_when_they_connect() {
    jailed("prod", PROD, |_| {
        let context = Some("prod".to_owned());
        let settings = Settings { context: context.clone(), ..Settings::default() };
        let filled = settings.with_context().unwrap();
        assert_eq!((filled.server.as_str(), filled.tls_first), ("tls://a:1,tls://b:1", true));
        assert_eq!(filled.user.as_deref(), Some("ann"));
        let own = Settings { context, server: "x".into(), nkey: Some("n".into()), ..settings };
        let filled = own.with_context().unwrap();
        assert_eq!((filled.server.as_str(), filled.user), ("x", None));
    });
}

#[test]
fn an_empty_name_is_the_selected_context() {
    jailed("", PROD, |jail| {
        assert_eq!(load().unwrap().user.as_deref(), Some("ann"));
        jail.create_file(".config/nats/context.txt", " \n").unwrap();
        let text = load().unwrap_err().to_string();
        assert!(text.contains("none is selected: name one; known are prod, test"), "{text}");
    });
}

#[test]
fn the_directory_can_be_moved() {
    jailed("other", PROD, |jail| {
        jail.create_dir("xdg/nats/context").unwrap();
        jail.create_file("xdg/nats/context/other.json", r#"{"url": "h"}"#).unwrap();
        jail.set_env("XDG_CONFIG_HOME", jail.directory().join("xdg").display());
        assert_eq!(load().unwrap().server, "h");
    });
}

#[test]
fn what_cannot_be_used_is_refused() {
    let check = |name: &'static str, content: &str, wanted: &str| {
        jailed(name, content, |_| {
            let text = load().unwrap_err().to_string();
            assert!(text.starts_with(&format!("the nats context {name:?} can't be used: ")));
            assert!(text.contains(wanted) && !text.contains("s9876"), "{text}");
        });
    };
    check("prof", PROD, "it does not exist; known are prod, test");
    check("../prod", PROD, "no name of a context");
    check("prod", r#"{"nsc": "nsc://o/a/u"}"#, "would run a program");
    check("prod", r#"{"creds": "op://v/i"}"#, "looks a value up elsewhere");
    check("prod", r#"{"user_jwt": "s9876"}"#, "name a creds file");
    check("prod", r#"{"jetstream_domain": "hub"}"#, "domains and API prefixes");
    check("prod", r#"{"password": s9876}"#, "is malformed at line 1 column 14");
    check("prod", r#"{"tls_first": "s9876"}"#, "is malformed at line 1");
}
