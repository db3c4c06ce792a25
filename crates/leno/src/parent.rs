use anyhow::Context;
use tokio::sync::oneshot;

/// Resolves at SIGTERM or SIGINT; with `watch_parent` also when standard input ends, because whoever held its other end is
/// gone.
pub(crate) async fn shutdown(watch_parent: bool) -> anyhow::Result<()> {
    let signal = leno_runtime::shutdown_signal();
    if !watch_parent {
        signal.await.context("installing signal handlers")?;
        return Ok(());
    }
    let (sender, ended) = oneshot::channel();
    // A thread of its own: a read of standard input cannot be cancelled and would hold up the runtime's end.
    std::thread::spawn(move || {
        // Whatever comes is thrown away; only its end says something.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // The receiver is gone when a signal came first.
        let _ = sender.send(());
    });
    tokio::select! {
        signal = signal => signal.map(|_| ()).context("installing signal handlers"),
        _ = ended => Ok(()),
    }
}
