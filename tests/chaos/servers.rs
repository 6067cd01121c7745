//! The faults of the nats-servers.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::nodes::Nodes;
use crate::plan::{Fault, Plan, Step};
use crate::stage::Stage;

/// Until peace; then all run.
pub async fn run(mut nodes: Nodes, stage: Arc<Stage>) -> Nodes {
    let peace = stage.peace.clone();
    for step in Plan::of_servers(stage.seed, nodes.len()) {
        if peace.run_until_cancelled(sleep(step.calm)).await.is_none() {
            break;
        }
        suffer(&mut nodes, &stage, step).await;
        // One that still catches up counts as down: another down beside it would be two.
        nodes.are_ready().await;
    }
    nodes
}

async fn suffer(nodes: &mut Nodes, stage: &Stage, step: Step) {
    let Step { who, fault, lasts, .. } = step;
    stage.journal.fault("server", who, fault, lasts);
    match fault {
        Fault::Freeze => nodes.freeze(who),
        Fault::Kill | Fault::AtPoint => nodes.kill(who),
        Fault::Restart => nodes.stop(who).await,
    }
    stage.peace.run_until_cancelled(sleep(lasts)).await;
    match fault {
        Fault::Freeze => nodes.thaw(who),
        _ => nodes.start(who),
    }
    // Time for the server to notice that it lags, before it is asked whether it is healthy.
    sleep(Duration::from_millis(500)).await;
}
