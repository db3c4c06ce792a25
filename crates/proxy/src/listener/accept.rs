use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::ActiveListener;
use super::serve::serve;
use crate::drain::DrainSignal;
use crate::overload::TooManyConnections;
use crate::stats::ListenerCounter;
use crate::worker::Worker;

/// A listening socket of one worker. Which listener it serves may change; the socket stays, so no connection is lost.
#[derive(Debug)]
pub(crate) struct Binding {
    listener: RefCell<Rc<ActiveListener>>,
    stop: DrainSignal,
    closed: DrainSignal,
    keeps_connections: Cell<bool>,
}

/// First and longest wait when the process has no descriptors left.
const BACK_OFF_FIRST: Duration = Duration::from_millis(5);
const BACK_OFF_MAX: Duration = Duration::from_millis(500);

impl Binding {
    /// Starts to accept.
    ///
    /// # Errors
    /// When the socket cannot be registered with the runtime.
    pub(crate) fn start(
        socket: std::net::TcpListener,
        listener: Rc<ActiveListener>,
        worker: &Rc<Worker>,
    ) -> io::Result<Rc<Self>> {
        let socket = TcpListener::from_std(socket)?;
        let binding = Rc::new(Self {
            listener: RefCell::new(listener),
            stop: DrainSignal::default(),
            closed: DrainSignal::default(),
            keeps_connections: Cell::new(false),
        });
        worker.tasks().spawn_local("accept", accept_loop(socket, binding.clone(), worker.clone()));
        Ok(binding)
    }

    pub(crate) fn listener(&self) -> Rc<ActiveListener> {
        self.listener.borrow().clone()
    }

    /// New connections are served by `listener` from now on; those of filter chains it has not drain.
    pub(crate) fn replace(&self, listener: Rc<ActiveListener>) {
        self.listener.replace(listener.clone()).drain(Some(&listener));
    }

    /// Stops accepting; what the kernel had accepted already is still served.
    pub(crate) fn stop(&self) {
        self.stop.start();
    }

    /// As [`Binding::stop`]; connections do not learn of it.
    pub(crate) fn stop_keeping_connections(&self) {
        self.keeps_connections.set(true);
        self.stop.start();
    }

    /// Resolves when the socket is closed after [`Binding::stop`].
    pub(crate) async fn closed(&self) {
        self.closed.draining().await;
    }
}

async fn accept_loop(socket: TcpListener, binding: Rc<Binding>, worker: Rc<Worker>) {
    let mut back_off = BACK_OFF_FIRST;
    loop {
        let accepted = tokio::select! {
            biased;
            () = binding.stop.draining() => break,
            () = worker.stops_accepting(true) => {
                tokio::select! {
                    () = binding.stop.draining() => break,
                    () = worker.stops_accepting(false) => continue,
                }
            }
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => {
                back_off = BACK_OFF_FIRST;
                worker.accept_outage().over();
                spawn(&binding, stream, remote, &worker);
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                worker.accept_outage().report(&binding.listener().config.name, &error);
                tokio::select! {
                    () = binding.stop.draining() => break,
                    () = tokio::time::sleep(back_off) => {}
                }
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
    // Unconstrained: tokio would otherwise report an empty queue after 128 connections.
    tokio::task::unconstrained(async { sweep(&socket, &binding, &worker) }).await;
    drop(socket);
    if !binding.keeps_connections.get() {
        binding.listener.borrow().drain(None);
    }
    binding.closed.start();
}

/// Takes what the kernel has queued, so that closing the socket resets no client.
fn sweep(socket: &TcpListener, binding: &Rc<Binding>, worker: &Rc<Worker>) {
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, remote))) = socket.poll_accept(&mut context) {
        spawn(binding, stream, remote, worker);
    }
}

fn spawn(binding: &Rc<Binding>, stream: TcpStream, remote: SocketAddr, worker: &Rc<Worker>) {
    let slot = match worker.overload().map(|overload| overload.admit()).transpose() {
        Ok(slot) => slot.flatten(),
        // Closed at once.
        Err(TooManyConnections) => {
            binding.listener().stats.count(ListenerCounter::CxOverloadReject);
            return;
        }
    };
    let listener = binding.listener();
    let own_slot = listener.limit.as_ref().map(|limit| limit.admit());
    if let Some(None) = own_slot {
        listener.stats.count(ListenerCounter::CxOverflow);
        return;
    }
    let slots = (slot, own_slot.flatten());
    worker.connections().spawn_local("connection", serve(stream, remote, listener, worker.clone(), slots));
}

/// Errors of a connection that died in the queue, which accept(2) passes on.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) || matches!(
        error.raw_os_error(),
        Some(
            libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EPERM
        )
    )
}

/// Logs a failure that repeats once per outage.
#[derive(Debug, Default)]
pub(crate) struct AcceptOutage {
    reported: Cell<bool>,
}

impl AcceptOutage {
    pub(crate) fn report(&self, listener: &str, error: &io::Error) {
        if !self.reported.replace(true) {
            tracing::error!(listener, %error, "cannot accept connections, trying on; raise the limit of open files (RLIMIT_NOFILE)?");
        }
    }

    pub(crate) fn over(&self) {
        if self.reported.replace(false) {
            tracing::info!("connections are accepted again");
        }
    }
}
