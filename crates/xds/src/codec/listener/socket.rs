//! How the sockets of a listener are made.

use leno_ir::{ListenerSocket, SocketMoment, SocketOption, SocketOptionValue};
use leno_proto::envoy::config::core::v3::SocketOption as ProtoOption;
use leno_proto::envoy::config::core::v3::socket_option::{SocketState, Value};
use leno_proto::envoy::config::listener::v3::Listener as Proto;

use crate::codec::common::{bool_value, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::socket::{decode_keepalive, encode_keepalive};

pub(super) fn encode(socket: &ListenerSocket, proto: &mut Proto) {
    let switch = |on: bool| if on { bool_value(true) } else { None };
    proto.freebind = switch(socket.freebind);
    proto.transparent = switch(socket.transparent);
    proto.enable_mptcp = socket.mptcp;
    proto.tcp_fast_open_queue_length = socket.fast_open_queue.and_then(u32_value);
    proto.tcp_keepalive = socket.keepalive.as_ref().map(encode_keepalive);
    proto.socket_options = socket.options.iter().map(encode_option).collect();
}

fn encode_option(option: &SocketOption) -> ProtoOption {
    ProtoOption {
        level: option.level.into(),
        name: option.name.into(),
        state: match option.moment {
            SocketMoment::BeforeBind => SocketState::StatePrebind,
            SocketMoment::Bound => SocketState::StateBound,
            SocketMoment::Listening => SocketState::StateListening,
        }
        .into(),
        value: Some(match &option.value {
            SocketOptionValue::Bytes(bytes) => Value::BufValue(bytes.clone()),
            SocketOptionValue::Int(value) => Value::IntValue((*value).into()),
        }),
        ..ProtoOption::default()
    }
}

pub(super) fn decode(proto: &Proto) -> Result<ListenerSocket> {
    let is_on = |flag: &Option<leno_proto::google::protobuf::BoolValue>| flag.as_ref().is_some_and(|flag| flag.value);
    let mut options = Vec::with_capacity(proto.socket_options.len());
    for (index, option) in proto.socket_options.iter().enumerate() {
        options.push(decode_option(option).at_index("socket_options", index)?);
    }
    Ok(ListenerSocket {
        freebind: is_on(&proto.freebind),
        transparent: is_on(&proto.transparent),
        mptcp: proto.enable_mptcp,
        fast_open_queue: proto.tcp_fast_open_queue_length.map(|length| length.value),
        keepalive: proto.tcp_keepalive.as_ref().map(decode_keepalive),
        options,
    })
}

fn decode_option(option: &ProtoOption) -> Result<SocketOption> {
    refuse!(option, r#type, ip_version);
    let int =
        |value: i64, field: &str| i32::try_from(value).map_err(|_| DecodeError::new(field, "is no option's number"));
    Ok(SocketOption {
        level: int(option.level, "level")?,
        name: int(option.name, "name")?,
        value: match &option.value {
            Some(Value::BufValue(bytes)) => SocketOptionValue::Bytes(bytes.clone()),
            Some(Value::IntValue(value)) => SocketOptionValue::Int(int(*value, "int_value")?),
            None => return Err(DecodeError::new("value", "is missing")),
        },
        moment: match option.state() {
            SocketState::StatePrebind => SocketMoment::BeforeBind,
            SocketState::StateBound => SocketMoment::Bound,
            SocketState::StateListening => SocketMoment::Listening,
        },
    })
}
