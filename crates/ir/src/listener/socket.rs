use serde::Serialize;

use crate::TcpKeepalive;

/// How the sockets of a listener are made; what they accept inherits most of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ListenerSocket {
    /// The address need not be one of this machine's.
    pub freebind: bool,
    /// Takes connections to whatever address that the kernel hands over. Needs `CAP_NET_ADMIN`.
    pub transparent: bool,
    /// Multipath TCP, with clients that speak it.
    pub mptcp: bool,
    /// Connections that may be in the middle of a fast open. `None`: as the system has it.
    pub fast_open_queue: Option<u32>,
    /// `None`: nobody asks whether the other end is still there.
    pub keepalive: Option<TcpKeepalive>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<SocketOption>,
}

impl ListenerSocket {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// As setsockopt(2) takes it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct SocketOption {
    pub level: i32,
    pub name: i32,
    pub value: SocketOptionValue,
    pub moment: SocketMoment,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketOptionValue {
    Bytes(Vec<u8>),
    Int(i32),
}

/// When an option is set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketMoment {
    #[default]
    BeforeBind,
    Bound,
    Listening,
}
