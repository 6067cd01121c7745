use std::time::Duration;

use figment::{Figment, Jail};
use secrecy::ExposeSecret;
use serde::Serialize;

use super::*;

#[allow(clippy::result_large_err, reason = "the closure returns figment's error")]
/// Runs in an empty directory with an empty environment.
fn jailed(test: impl FnOnce(&mut Jail)) {
    Jail::expect_with(|jail| {
        jail.clear_env();
        test(jail);
        Ok(())
    });
}

fn load() -> Settings {
    Settings::load(&Settings::figment(None)).unwrap()
}

fn failure() -> String {
    Settings::load(&Settings::figment(None)).unwrap_err().to_string()
}

fn shown(figment: &Figment, key: &str) -> (String, String) {
    let all = explain(figment);
    let one = all.into_iter().find(|one| one.key == key).unwrap();
    (one.value, one.source)
}

#[test]
fn defaults_stand_alone_and_pass_the_rules() {
    jailed(|_| {
        let settings = load();
        assert_eq!(settings.server, "nats://127.0.0.1:4222");
        assert_eq!(settings.assets, Assets::default());
        assert_eq!(settings.worker, Worker::default());
        assert_eq!(settings.collator, Collator::default());
        assert!(settings.worker.slots() >= 4);
    });
}

#[test]
fn what_is_written_can_be_read_again() {
    let text = serde_json::to_string(&Settings::default()).unwrap();
    assert!(text.contains(r#""window_bytes":"16MiB""#) && text.contains(r#""timeout":"5m""#));
    let again: Settings = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

#[test]
fn each_layer_wins_over_the_one_below() {
    #[derive(Serialize)]
    struct Flags {
        server: Option<&'static str>,
        namespace: Option<&'static str>,
    }
    jailed(|jail| {
        let server = || load().server;
        jail.create_file("jetiter.toml", "server = 'nats://file'\nnamespace = 'f'").unwrap();
        assert_eq!(server(), "nats://file");
        jail.set_env("NATS_URL", "nats://url");
        assert_eq!(server(), "nats://url");
        jail.set_env("JETITER_SERVER", "nats://variable");
        assert_eq!(server(), "nats://variable");
        let flags = flags(Flags { server: Some("nats://flag"), namespace: None });
        let settings = Settings::load(&Settings::figment(None).merge(flags)).unwrap();
        assert_eq!((settings.server.as_str(), settings.namespace.as_str()), ("nats://flag", "f"));
    });
}

#[test]
fn each_value_is_explained_by_its_source() {
    jailed(|jail| {
        jail.create_file("jetiter.toml", "[assets]\nqueues = ['a', 'b']\nreplicas = 3").unwrap();
        jail.set_env("NATS_URL", "nats://ann:secret@host");
        jail.set_env("JETITER_WORKER__RETRY_DELAY", "2s");
        let retry = serde_json::json!({ "worker": { "retry_delay_max": "9s", "grace": null } });
        let figment = Settings::figment(None).merge(flags(retry));
        let check = |key, value: &str, source: &str| {
            assert_eq!(shown(&figment, key), (value.to_owned(), source.to_owned()));
        };
        check("assets.queues", "a,b", "file jetiter.toml");
        check("assets.replicas", "3", "file jetiter.toml");
        check("server", "nats://[hidden]@host", "NATS_URL");
        check("worker.retry_delay", "2s", "environment JETITER_WORKER__RETRY_DELAY");
        check("worker.retry_delay_max", "9s", "flag --retry-delay-max");
        check("worker.grace", "20s", "default");
        check("worker.soft_limit", "0.9", "default");
        check("submit.window_bytes", "16MiB", "default");
        check("token", "", "default");
        assert_eq!(explain(&figment)[0].key, "connect_timeout");
    });
}

#[test]
fn text_stays_as_it_is_written() {
    for text in ["12345678", "007", "true", "[x]", "1.50", "\"q\"", " a ", "{a=1}"] {
        jailed(|jail| {
            jail.set_env("JETITER_USER", text);
            jail.set_env("JETITER_PASSWORD", text);
            let settings = load();
            assert_eq!(settings.user.as_deref(), Some(text));
            assert_eq!(settings.password.unwrap().expose_secret(), text);
        });
    }
}

#[test]
fn variables_of_other_types_are_read() {
    jailed(|jail| {
        jail.set_env("JETITER_WORKER__CONCURRENCY", "8");
        jail.set_env("JETITER_WORKER__SOFT_LIMIT", "0.5");
        jail.set_env("JETITER_WORKER__GRACE", "1m 30s");
        jail.set_env("JETITER_TLS_REQUIRED", "true");
        jail.set_env("JETITER_LOG_FORMAT", "json");
        jail.set_env("JETITER_ASSETS__CACHE_MAX_BYTES", "1.5GiB");
        jail.set_env("JETITER_ASSETS__ITEMS_MAX_BYTES", "-1");
        jail.set_env("JETITER_COLLATOR__CHUNK", "65536");
        let settings = load();
        assert_eq!((settings.worker.concurrency, settings.worker.slots()), (8, 8));
        assert_eq!(settings.worker.soft_limit, 0.5);
        assert_eq!(settings.worker.grace, Duration::from_secs(90));
        assert!(settings.tls_required);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.assets.cache_max_bytes, 3 << 29);
        assert_eq!(settings.assets.items_max_bytes, -1);
        assert_eq!(settings.collator.chunk, 64 << 10);
    });
}

#[test]
fn lists_have_two_forms() {
    for text in ["a,007", "[a, 007]", " [ \"a\" , '007' ] ", "a, 007,"] {
        jailed(|jail| {
            jail.set_env("JETITER_ASSETS__QUEUES", text);
            assert_eq!(load().assets.queues, ["a", "007"]);
        });
    }
}

#[test]
fn an_empty_variable_is_not_set() {
    jailed(|jail| {
        jail.set_env("JETITER_TOKEN", "");
        jail.set_env("JETITER_SERVER", "");
        jail.set_env("JETITER_NO_SUCH", "");
        assert!(load().token.is_none());
    });
}

#[test]
fn the_tooling_has_names_of_its_own() {
    jailed(|jail| {
        jail.set_env("JETITER_TEST_ANYTHING", "1");
        jail.set_env("JETITER_NATS_SERVER", "/opt/nats-server");
        assert_eq!(load().up.nats_server, "/opt/nats-server");
        let source = shown(&Settings::figment(None), "up.nats_server").1;
        assert_eq!(source, "environment JETITER_NATS_SERVER");
        jail.set_env("JETITER_UP__NATS_SERVER", "other");
        assert_eq!(load().up.nats_server, "other");
    });
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let check = |name: &str, wanted: &str| {
        jailed(|jail| {
            jail.set_env(name, "1");
            assert_eq!(failure(), wanted);
        });
    };
    check(
        "JETITER_WORKER_CONCURRENCY",
        "there is no setting worker_concurrency (from environment variable \
         JETITER_WORKER_CONCURRENCY): did you mean JETITER_WORKER__CONCURRENCY?",
    );
    check(
        "JETITER_UP__PORT",
        "there is no setting up.port (from environment variable JETITER_UP__PORT): \
         known here are data, nats_server",
    );
    for name in ["JETITER_", "JETITER_WORKER__", "JETITER___X", "JETITER_A__B__C"] {
        jailed(|jail| {
            jail.set_env(name, "1");
            assert!(failure().contains(&format!("(from environment variable {name})")), "{name}");
        });
    }
    jailed(|jail| {
        jail.create_file("jetiter.toml", "[worker]\npre_fetch = 3").unwrap();
        let wanted = "there is no setting worker.pre_fetch (from file jetiter.toml): \
                      did you mean worker.prefetch?";
        assert_eq!(failure(), wanted);
    });
}

#[test]
fn values_of_a_wrong_type_are_refused_by_name() {
    let check = |name: &str, value: &str, wanted: &str| {
        jailed(|jail| {
            jail.set_env(format!("JETITER_{name}"), value);
            let origin = format!("(from environment variable JETITER_{name})");
            assert_eq!(failure(), format!("{wanted} {origin}"));
        });
    };
    check(
        "WORKER__PREFETCH",
        "many",
        "worker.prefetch must be a whole number of 0 or more, got many",
    );
    check("WORKER__PREFETCH", "0", "worker.prefetch must be at least 1, got 0");
    check("TLS_FIRST", "yes", "tls_first must be true or false, got yes");
    check("LOG_FORMAT", "xml", "log_format must be one of text, json, got xml");
    check("WORKER", "x", "worker must be a section, got x");
    check(
        "SUBMIT__WINDOW_BYTES",
        "16Mo",
        "submit.window_bytes must be a number of bytes, plain or with a unit such as \"16MiB\", \
         got 16Mo",
    );
    check("WORKER__GRACE", "30", "worker.grace must be a time with its unit, such as 30s, got 30");
}

#[test]
fn rules_name_key_value_and_source() {
    let check = |toml: &str, wanted: &str| {
        jailed(|jail| {
            jail.create_file("jetiter.toml", toml).unwrap();
            let text = failure();
            let wanted = format!("{wanted} (from file jetiter.toml)");
            assert_eq!(text, wanted);
        });
    };
    let rule = "use 1 to 64 letters, digits, '_' or '-'";
    check("namespace = 'a.b'", &format!("namespace is malformed: {rule}, got a.b"));
    check("worker.queue = '*'", &format!("worker.queue is malformed: {rule}, got *"));
    check("assets.queues = ['a', '>']", &format!("assets.queues is malformed: {rule}, got a,>"));
    check("assets.queues = ['a', 'a']", "assets.queues must not name a queue twice, got a,a");
    check("assets.queues = []", "assets.queues must name at least one queue, got nothing");
    check("collator.chunk = '1MiB'", "collator.chunk must be between 1KiB and 768KiB, got 1MiB");
    check("collator.done_ttl = '10ms'", "collator.done_ttl must be between 1s and 1day, got 10ms");
    check("user = 'ann'", "user needs a password beside it, got ann");
    check("password = 'x'", "password needs a user beside it, got [hidden]");
    check("tls_cert = 'c.pem'", "tls_cert needs tls_key beside it, got c.pem");
    check(
        "nkey = 'n'\ntoken = 'x'",
        "token is one login too many beside nkey: keep one of them, got [hidden]",
    );
    check(
        "server = 'ws://u:secret@host'",
        "server has the address ws://[hidden]@host, but only nats:// and tls:// are supported, \
         got ws://[hidden]@host",
    );
    check(
        "worker = { retry_delay = '2m', retry_delay_max = '1m' }",
        "worker.retry_delay_max must be at least worker.retry_delay, got 1m",
    );
    check(
        "assets.cache_max_bytes = 0",
        "assets.cache_max_bytes must be more than 0, or -1 for no limit, got 0",
    );
    check(
        "inbox_prefix = 'a.>'",
        "inbox_prefix must be a subject without spaces, '*' and '>', got a.>",
    );
}

#[test]
fn no_text_shows_a_secret() {
    let check = |toml: &str| {
        jailed(|jail| {
            jail.create_file("jetiter.toml", toml).unwrap();
            let figment = Settings::figment(None);
            let text = match Settings::load(&figment) {
                Ok(settings) => {
                    format!("{settings:?} {}", serde_json::to_string(&settings).unwrap())
                }
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!text.contains("9876"), "{text}");
            assert!(!format!("{:?}", explain(&figment)).contains("9876"));
        });
    };
    check("user = 'ann'\npassword = 's9876'");
    check("token = 's9876'");
    check("password = 9876");
    check("token = [9876]");
    check("token = 's9876");
    check("token = s9876");
    check("server = 'nats://ann:s9876@host'");
    check("server = 'nats://ann:s9876@host:badport'");
    check("server = 'nats://ann:s,9876@host'");
    check("server = 'a:1,s9876@b,c:2'");
}

#[test]
fn files_are_exactly_the_named_ones() {
    jailed(|jail| {
        jail.create_file("jetiter.toml", "namespace = 'above'").unwrap();
        jail.create_dir("below").unwrap();
        jail.change_dir("below").unwrap();
        assert_eq!(load().namespace, "jetiter");
        let error = Settings::load(&Settings::figment(Some(Path::new("none.toml")))).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the settings can't be read: none.toml: No such file"), "{text}");
        let above = Settings::figment(Some(Path::new("../jetiter.toml")));
        assert_eq!(Settings::load(&above).unwrap().namespace, "above");
        jail.create_file("jetiter.toml", "= x").unwrap();
        let text = failure();
        assert!(text.starts_with("the settings can't be read: jetiter.toml: TOML parse"), "{text}");
    });
}

#[test]
fn urls_are_redacted() {
    let check = |text: &str, wanted: &str| assert_eq!(redact_url(text), wanted);
    check("nats://host:4222", "nats://host:4222");
    check("host,other:1", "host,other:1");
    check("nats://u:p@host:1", "nats://[hidden]@host:1");
    check("token@host", "[hidden]@host");
    check("nats://a:b@h,tls://c:d@i", "nats://[hidden]@h,tls://[hidden]@i");
    check("nats://u:p@q@h", "nats://[hidden]@h");
    check("nats://u:p,q@h", "nats://[hidden]@h");
    check("nats://u:p@1,2@h", "nats://[hidden]@h");
    check("a,b,u:p@h", "[hidden]@h");
    check("nats://a,nats://u:p,q,r@h", "nats://a,nats://[hidden]@h");
    check("u:p://q@h", "[hidden]@h");
    check("nats://p,q@h/x://y", "nats://[hidden]@h/x://y");
    check("nats://u:p", "nats://[hidden]");
    check("nats://u:p,x://y@h", "nats://[hidden],[hidden]@h");
    check("nats://[::1]:4222,[::1]", "nats://[::1]:4222,[::1]");
    check("", "");
}

#[test]
fn addresses_are_taken_apart() {
    let parsed = parse_addresses("nats://ann:p%40%2Fs%zz%+1@h:1, tls://i , j").unwrap();
    let urls: Vec<_> = parsed.urls.iter().map(|url| url.as_str()).collect();
    assert_eq!(urls, ["nats://h:1", "tls://i", "nats://j"]);
    let (user, password) = parsed.login.unwrap();
    assert_eq!((user.as_str(), password.unwrap().expose_secret()), ("ann", "p@/s%zz%+1"));
    assert!(parse_addresses("token@h").unwrap().login.unwrap().1.is_none());
    for ambiguous in ["nats://u:p@1,2@h", "nats://u:p,q@h", "h,u:p@i"] {
        assert!(parse_addresses(ambiguous).is_err_and(|text| text.contains("% escapes")));
    }
    for host in ["nats://p/q@h", "nats://p?@h", "p#@h"] {
        assert!(parse_addresses(host).is_err_and(|text| text.contains("[hidden]@h")), "{host}");
    }
    assert!(parse_addresses(" , ").is_err() && parse_addresses("nats://").is_err());
}
