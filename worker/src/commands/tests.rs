use std::collections::BTreeMap;
use std::path::Path;

use jetiter_config::call::Item;
use jetiter_config::encoding::Encoding;
use tokio::time::{sleep, timeout};

use super::*;

/// A shell's child: it answers with its argument when the file of that name is there.
const GATE: &str = r#"
while read -r line; do
  rest=${line#*:\"} name=${rest%%\"*}
  echo "$name $$" >> begun
  while ! test -e "$name"; do sleep 0.02; done
  echo "{\"value\": \"$name\"}"
done
"#;

/// What commands of one slot run.
struct Gate {
    commands: Commands,
    dir: std::path::PathBuf,
}

impl Gate {
    fn new(name: &str) -> Gate {
        let dir = std::env::temp_dir().join(format!("jetiter-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let command = settings(&dir);
        let functions = BTreeMap::from([("gate".to_owned(), command)]);
        let settings = Settings { functions, ..Settings::default() };
        Gate { commands: Commands::new(&settings, 1).unwrap(), dir }
    }

    fn item(&self, name: &str, timeout: Duration) -> Item {
        let argument = Encoding::Json.encode(name).unwrap();
        let function = "gate".parse().unwrap();
        Item { function, timeout, ..line::tests::item(Encoding::Json, argument) }
    }

    fn open(&self, name: &str) {
        std::fs::write(self.dir.join(name), "").unwrap();
    }

    async fn begun(&self, count: usize) -> Vec<String> {
        let read = || std::fs::read_to_string(self.dir.join("begun")).unwrap_or_default();
        while read().lines().count() < count {
            sleep(Duration::from_millis(10)).await;
        }
        read().lines().map(str::to_owned).collect()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn settings(dir: &Path) -> jetiter_config::settings::Command {
    let written = serde_json::json!({ "command": GATE, "shell": true, "cwd": dir });
    serde_json::from_value(written).unwrap()
}

#[tokio::test]
async fn the_time_of_an_item_begins_when_a_child_has_it() {
    let gate = Gate::new("time");
    let functions = gate.commands.functions();
    let (first, second) =
        (gate.item("first", Duration::from_secs(600)), gate.item("second", Duration::from_secs(2)));
    let first = functions.run(&first);
    let second = async {
        gate.begun(1).await;
        let mut second = std::pin::pin!(functions.run(&second));
        let waits = timeout(Duration::from_millis(2500), &mut second).await;
        assert!(waits.is_err(), "its time has not begun");
        gate.open("first");
        gate.open("second");
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.unwrap(), second.unwrap()), (b"\"first\"".into(), b"\"second\"".into()));
    gate.begun(2).await;
}

#[tokio::test]
async fn an_item_that_is_dropped_takes_its_child_along() {
    let gate = Gate::new("dropped");
    let functions = gate.commands.functions();
    let item = gate.item("first", Duration::from_secs(600));
    let begun = tokio::select! {
        _ = functions.run(&item) => unreachable!("nobody opens it"),
        begun = gate.begun(1) => begun,
    };
    let pid = begun[0].split(' ').nth(1).unwrap().to_owned();
    let runs = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    while runs() {
        sleep(Duration::from_millis(10)).await;
    }
    gate.open("second");
    let second = functions.run(&gate.item("second", Duration::from_secs(600))).await;
    assert_eq!(second.unwrap(), b"\"second\"");
}

#[tokio::test]
async fn an_item_that_runs_at_the_stop_has_no_outcome() {
    let gate = Gate::new("stop");
    let functions = gate.commands.functions();
    let item = gate.item("first", Duration::from_secs(600));
    let mut running = std::pin::pin!(functions.run(&item));
    tokio::select! {
        _ = &mut running => unreachable!("nobody opens it"),
        _ = gate.begun(1) => {}
    }
    gate.commands.stopped.cancel();
    assert!(timeout(Duration::from_millis(500), running).await.is_err());
}
