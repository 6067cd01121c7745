//! Credentials that are replaced while everything runs: the file is written anew, nobody is
//! started anew.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jetiter::Options;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::groups::{arguments, is_clean_again, is_list, is_mapped};
use crate::harness::within;
use crate::nodes::Nodes;

/// What a server's configuration says of its users, and the file that one of them logs in with.
struct Login {
    config: String,
    file: String,
    /// What must be in no log.
    secret: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_is_replaced() {
    let login = || {
        let user = KeyPair::new_user();
        let secret = user.seed().unwrap();
        let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", user.public_key());
        Login { config, file: format!("{secret}\n"), secret }
    };
    is_replaced("nkey", login(), login()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_file_is_replaced() {
    let keys = Keys::new();
    let users = [KeyPair::new_user(), KeyPair::new_user()];
    let [old, new] = [keys.login(&users[0], &users[1]), keys.login(&users[1], &users[0])];
    is_replaced("credentials", old, new).await;
}

/// The server is told to know the new login in place of the old one, then the file follows.
async fn is_replaced(setting: &str, old: Login, new: Login) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |login: &Login| std::fs::write(file.path(), &login.file).unwrap();
    write(&old);
    let mut nodes = Nodes::with(1, &old.config).await;
    let engine = nodes
        .engine(|settings| {
            settings.assets.queues.push("later".to_owned());
            match setting {
                "nkey" => settings.nkey = Some(file.path().to_owned()),
                _ => settings.credentials = Some(file.path().to_owned()),
            }
        })
        .await;
    let variable = format!("JETITER_{}", setting.to_uppercase());
    let environment = [(&*variable, path(file.path()))];
    let process = |arguments: &[&str]| engine.process_with(arguments, &environment);
    let running = [process(&["worker"]), process(&["collator"])];
    is_mapped(&engine, 100).await;
    let later = Options::new().queue("later".parse().unwrap());
    let group = engine.client.async_iter("math.floor", arguments(100), &later).await.unwrap();
    let waiting = process(&["result", group.as_str(), "--wait", "forever"]);
    nodes.until_heard(&engine.broker.namespace.event_subject(group.as_str(), "done"), 1).await;
    let [worker, collator] = &running;

    nodes.reload(&new.config);
    let refused = format!("refuses the {setting} in {}", path(file.path()));
    for process in [worker, collator, &waiting] {
        process.says(&refused).await;
        for secret in [&old.secret, &new.secret] {
            assert!(!process.log().contains(secret), "{}", process.log());
        }
    }
    write(&new);
    is_mapped(&engine, 100).await;
    let _later = process(&["worker", "--queue", "later"]);
    is_list(&waiting.printed().await, 100);
    is_clean_again(&engine).await;
    for process in running {
        assert!(within(process.term()).await.success());
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An operator with one account for the engine, and one that the server needs for itself.
struct Keys {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Keys {
    fn new() -> Keys {
        Keys {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            system: KeyPair::new_account(),
        }
    }

    /// The account knows one user, and has revoked the other.
    fn login(&self, user: &KeyPair, revoked: &KeyPair) -> Login {
        let storage = json!({ "mem_storage": -1, "disk_storage": -1, "streams": -1,
            "consumer": -1, "subs": -1, "conn": -1, "leaf": -1, "data": -1, "payload": -1,
            "imports": -1, "exports": -1, "wildcards": true });
        let account = json!({ "type": "account", "limits": storage,
            "revocations": { revoked.public_key(): 4_000_000_000u32 } });
        let any = json!({ "type": "account", "limits": { "subs": -1, "conn": -1, "leaf": -1,
            "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true } });
        let (engine, system) = (self.account.public_key(), self.system.public_key());
        let config = format!(
            "operator: {}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload {{ {engine}: {}, {system}: {} }}",
            token(&self.operator, &self.operator, json!({ "type": "operator" })),
            token(&self.operator, &self.account, account),
            token(&self.operator, &self.system, any),
        );
        let unlimited = json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 });
        let jwt = token(&self.account, user, unlimited);
        let secret = user.seed().unwrap();
        let file = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{secret}\n------END USER NKEY SEED------\n"
        );
        Login { config, file, secret }
    }
}

/// What `issuer` says of `subject`, signed.
fn token(issuer: &KeyPair, subject: &KeyPair, mut says: Value) -> String {
    says["version"] = json!(2);
    let claims = json!({ "jti": "test", "iat": 1_700_000_000, "iss": issuer.public_key(),
        "name": "test", "sub": subject.public_key(), "nats": says });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
