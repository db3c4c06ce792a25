use tokio::signal::unix::{SignalKind, signal};

/// Why the process was told to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shutdown {
    Interrupt,
    Terminate,
}

/// Resolves at the first SIGTERM or SIGINT.
///
/// # Errors
/// When the process may not install signal handlers.
pub async fn shutdown_signal() -> std::io::Result<Shutdown> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => Shutdown::Terminate,
        _ = interrupt.recv() => Shutdown::Interrupt,
    })
}
