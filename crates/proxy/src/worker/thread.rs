use std::io;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use super::command::Command;
use super::{Worker, WorkerSeed};

/// Between two rounds of idle time-outs and ejections.
const TICK: Duration = Duration::from_secs(1);

/// Starts the thread. It ends after [`Command::Drain`], or when `commands` closes.
///
/// # Errors
/// When the system gives no thread or no event queue.
pub(crate) fn spawn(seed: WorkerSeed, commands: mpsc::Receiver<Command>) -> io::Result<JoinHandle<()>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let name = format!("worker-{}", seed.index);
    std::thread::Builder::new().name(name).spawn(move || {
        let local = LocalSet::new();
        runtime.block_on(local.run_until(async move {
            let worker = Rc::new(Worker::new(seed));
            worker.tasks().spawn_local("tick", tick(worker.clone()));
            obey(worker, commands).await;
        }));
    })
}

async fn obey(worker: Rc<Worker>, mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::Apply { plan, sockets, done } => {
                // Whoever asked may have stopped waiting; the configuration stands nevertheless.
                let _ = done.send(worker.apply(plan, sockets).await);
            }
            Command::Drain { deadline, done } => {
                let _ = done.send(worker.drain(deadline).await);
                break;
            }
            Command::DrainListeners(which) => worker.drain_listeners(which),
            Command::StopListeners { which, done } => {
                worker.stop_listeners(which).await;
                let _ = done.send(());
            }
            Command::Refresh => worker.refresh(),
            Command::Status { done } => {
                let _ = done.send(worker.status());
            }
        }
    }
    worker.connections().stop().await;
    worker.access_logs().finish_remote().await;
    worker.tasks().stop().await;
    worker.retire();
    worker.access_logs().flush();
}

async fn tick(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        worker.tick();
    }
}
