use super::*;

#[test]
fn versions_are_compared_by_number() {
    let check = |text: &str, enough: bool| {
        assert_eq!(version(text) >= version(OLDEST_SERVER), enough, "{text}");
    };
    check("2.14.5", true);
    check("2.15.0-RC.1", true);
    check("v2.100.0+build", true);
    check("3.0.0", true);
    check("2.14.4", false);
    check("2.9.10", false);
    check("", false);
    check("devel", false);
    check("2.15", false);
}

#[test]
fn settings_name_the_login_before_the_address() {
    let addresses = parse_addresses("nats://ann:x@h").unwrap();
    let shown = |settings: &Settings| Login::of(settings, &addresses).shown();
    let mut settings = Settings::default();
    assert_eq!(shown(&settings), "the user \"ann\"");
    settings.token = Some("secret".into());
    assert_eq!(shown(&settings), "the token");
}

#[test]
fn a_certificate_makes_tls_required() {
    let mut settings = Settings::default();
    assert!(!wants_tls(&settings));
    settings.tls_ca = Some("ca.pem".into());
    assert!(wants_tls(&settings));
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("s");
    std::fs::write(&file, "secret").unwrap();
    let none = directory.path().join("none");
    let text = |settings: Settings| async move {
        connect(&settings, "test").await.unwrap_err().to_string()
    };
    let base = || Settings { server: "127.0.0.1:1".to_owned(), ..Settings::default() };
    for (settings, setting) in [
        (Settings { credentials: Some(file.clone()), ..base() }, "credentials"),
        (Settings { credentials: Some(none.clone()), ..base() }, "credentials"),
        (Settings { nkey: Some(file.clone()), ..base() }, "nkey"),
        (Settings { tls_ca: Some(none.clone()), ..base() }, "tls_ca"),
    ] {
        let text = text(settings).await;
        assert!(text.starts_with(&format!("{setting} = /")), "{text}");
        assert!(text.contains(" can't be used: ") && !text.contains("secret"), "{text}");
    }
}

#[tokio::test]
async fn silence_names_the_address_and_the_mend() {
    let server = "nats://ann:s9876@127.0.0.1:1".to_owned(); // a port that nobody serves
    let settings = Settings { server, ..Settings::default() };
    let text = connect(&settings, "test").await.unwrap_err().to_string();
    let wanted = "no NATS server answers at nats://[hidden]@127.0.0.1:1 (";
    assert!(text.starts_with(wanted) && text.contains("`jetiter up`"), "{text}");
    assert!(!text.contains("s9876"), "{text}");
}
