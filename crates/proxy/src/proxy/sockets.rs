use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use leno_ir::{
    Config, Listener, ListenerOptions, ListenerSocket, NetworkFilter, SocketMoment, SocketOption, SocketOptionValue,
};
use leno_runtime::sys::set_socket_option;
use socket2::{Domain, Protocol, Socket, Type};

use super::{Rejection, ResourceType};
use crate::tls::TlsContexts;
use crate::upstream::keep_alive;
use crate::{access_log, check};

/// Connections the kernel may queue per socket; it cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What a socket is bound for: an address, or a port of the kernel's choice for one listener.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct BindKey {
    address: SocketAddr,
    /// Set when the port is 0: every such listener gets its own.
    listener: Option<String>,
}

impl BindKey {
    /// Of its first address.
    pub(crate) fn of(listener: &Listener) -> Self {
        Self::at(listener.address, listener)
    }

    pub(crate) fn all_of(listener: &Listener) -> impl Iterator<Item = Self> {
        listener.addresses().map(|address| Self::at(address, listener))
    }

    fn at(address: SocketAddr, listener: &Listener) -> Self {
        let is_any_port = address.port() == 0;
        Self { address, listener: is_any_port.then(|| listener.name.clone()) }
    }
}

/// New sockets of one worker.
pub(crate) type NewSockets = HashMap<BindKey, TcpListener>;

/// The addresses the proxy is bound to. The sockets themselves belong to the workers.
#[derive(Debug, Default)]
pub(super) struct SocketTable {
    bound: BTreeMap<BindKey, SocketAddr>,
}

/// A configuration with the listeners that can really be bound.
#[derive(Debug)]
pub(super) struct Bound {
    /// `config` with rejected listeners replaced by their last good version, or left out.
    pub(super) config: Config,
    /// One map for each worker.
    pub(super) sockets: Vec<NewSockets>,
    pub(super) rejections: Vec<Rejection>,
}

impl SocketTable {
    /// Binds what `config` has and `running` has not, for each of `workers`.
    pub(super) fn bind(&mut self, config: &Config, running: &Config, workers: usize, contexts: &TlsContexts) -> Bound {
        let mut bound = Bound {
            config: config.clone(),
            sockets: (0..workers).map(|_| HashMap::new()).collect(),
            rejections: Vec::new(),
        };
        let mut users: HashMap<BindKey, String> = HashMap::new();
        for (name, listener) in config.listeners.iter().filter(|(_, listener)| !listener.api) {
            let keys: Vec<_> = BindKey::all_of(listener).filter(|_| listener.is_bound()).collect();
            let taken = keys.iter().find_map(|key| Some((users.get(key)?, key.address)));
            let result = match taken {
                Some((other, address)) => Err(format!("listener {other} has the same address {address}")),
                None => check_access_logs(listener).and_then(|()| check_tls(listener, contexts)).and_then(|()| {
                    keys.iter().try_for_each(|key| {
                        self.bind_one(key, &listener.options, &mut bound.sockets)
                            .map_err(|error| describe(key.address, &error))
                    })
                }),
            };
            match result {
                Ok(()) => {
                    users.extend(keys.into_iter().map(|key| (key, name.to_owned())));
                }
                Err(reason) => {
                    bound.rejections.push(Rejection {
                        resource_type: ResourceType::Listener,
                        name: name.to_owned(),
                        reason,
                    });
                    bound.config.listeners.remove(name);
                }
            }
        }
        // The last good version stays where its own address is still free to use.
        for rejection in &bound.rejections {
            if let Some(last_good) = running.listeners.get(&rejection.name) {
                let keys: Vec<_> = BindKey::all_of(last_good).filter(|_| last_good.is_bound()).collect();
                if keys.iter().all(|key| self.bound.contains_key(key) && !users.contains_key(key)) {
                    users.extend(keys.into_iter().map(|key| (key, rejection.name.clone())));
                    bound.config.listeners.insert(rejection.name.clone(), Arc::clone(last_good));
                }
            }
        }
        self.bound.retain(|key, _| users.contains_key(key));
        bound
    }

    /// Where the listener is reached: its address with the port the kernel chose.
    pub(super) fn address(&self, listener: &Listener) -> Option<SocketAddr> {
        self.bound.get(&BindKey::of(listener)).copied()
    }

    fn bind_one(&mut self, key: &BindKey, options: &ListenerOptions, sockets: &mut [NewSockets]) -> io::Result<()> {
        if self.bound.contains_key(key) {
            return Ok(());
        }
        let mut address = key.address;
        if address.port() != 0 {
            // SO_REUSEPORT would share the address with any other program of this user that sets it, another proxy
            // for example. A socket without it finds out.
            drop(open(address, Sharing::Exclusive, options)?);
        }
        let mut opened = Vec::with_capacity(sockets.len());
        for _ in 0..sockets.len() {
            let socket = open(address, Sharing::Workers, options)?;
            // All workers share the port that the kernel chose for the first.
            address = socket.local_addr()?.as_socket().unwrap_or(address);
            listen(&socket, options)?;
            opened.push(TcpListener::from(socket));
        }
        for (of_worker, socket) in sockets.iter_mut().zip(opened) {
            of_worker.insert(key.clone(), socket);
        }
        self.bound.insert(key.clone(), address);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sharing {
    Exclusive,
    Workers,
}

fn open(address: SocketAddr, sharing: Sharing, options: &ListenerOptions) -> io::Result<Socket> {
    let wanted = &options.socket;
    let protocol = if wanted.mptcp { Protocol::MPTCP } else { Protocol::TCP };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!options.ipv4_compat)?;
    }
    // For a restart while connections of the last run are in TIME-WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Workers)?;
    if wanted.freebind {
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => socket.set_freebind_v6(true)?,
        }
    }
    if wanted.transparent {
        let (level, name) = match address {
            SocketAddr::V4(_) => (libc::SOL_IP, libc::IP_TRANSPARENT),
            SocketAddr::V6(_) => (libc::SOL_IPV6, libc::IPV6_TRANSPARENT),
        };
        set_socket_option(socket.as_fd(), level, name, &1_i32.to_ne_bytes())?;
    }
    if let Some(keepalive) = &wanted.keepalive {
        keep_alive(&socket, keepalive)?;
    }
    set_options(&socket, wanted, SocketMoment::BeforeBind)?;
    socket.bind(&address.into())?;
    set_options(&socket, wanted, SocketMoment::Bound)?;
    Ok(socket)
}

fn listen(socket: &Socket, options: &ListenerOptions) -> io::Result<()> {
    let wanted = &options.socket;
    socket.listen(options.backlog.map_or(BACKLOG, |backlog| i32::try_from(backlog).unwrap_or(i32::MAX)))?;
    if let Some(length) = wanted.fast_open_queue {
        set_socket_option(socket.as_fd(), libc::SOL_TCP, libc::TCP_FASTOPEN, &length.to_ne_bytes())?;
    }
    set_options(socket, wanted, SocketMoment::Listening)
}

fn set_options(socket: &Socket, wanted: &ListenerSocket, moment: SocketMoment) -> io::Result<()> {
    for option in wanted.options.iter().filter(|option| option.moment == moment) {
        let result = match &option.value {
            SocketOptionValue::Bytes(bytes) => set_socket_option(socket.as_fd(), option.level, option.name, bytes),
            SocketOptionValue::Int(value) => {
                set_socket_option(socket.as_fd(), option.level, option.name, &value.to_ne_bytes())
            }
        };
        result.map_err(|error| {
            let SocketOption { level, name, .. } = option;
            io::Error::new(error.kind(), format!("socket option {level}/{name}: {error}"))
        })?;
    }
    Ok(())
}

fn check_access_logs(listener: &Listener) -> Result<(), String> {
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    let logs = chains.flat_map(|chain| match &chain.filter {
        NetworkFilter::Http(http) => &http.access_log,
        NetworkFilter::Tcp(tcp) => &tcp.access_log,
    });
    logs.chain(&listener.options.access_log)
        .try_for_each(access_log::check)
        .map_err(|error| format!("its access log is not understood: {error}"))
}

fn check_tls(listener: &Listener, contexts: &TlsContexts) -> Result<(), String> {
    let problems = check::listener_problems(listener, contexts);
    if problems.is_empty() { Ok(()) } else { Err(check::describe(&problems)) }
}

fn describe(address: SocketAddr, error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; does another program listen there?",
        io::ErrorKind::AddrNotAvailable => "; is it an address of this machine?",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        _ => "",
    };
    format!("cannot listen on {address}: {error}{hint}")
}
