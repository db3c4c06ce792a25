use leno_ir::{Buffer, BufferOverride};
use leno_proto::envoy::extensions::filters::http::buffer::v3::{
    Buffer as Proto, BufferPerRoute, buffer_per_route::Override,
};
use leno_proto::google::protobuf::Any;

use crate::codec::common::{any, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result};

pub(super) const TYPE: &str = "envoy.extensions.filters.http.buffer.v3.Buffer";
pub(super) const ROUTE_TYPE: &str = "envoy.extensions.filters.http.buffer.v3.BufferPerRoute";

pub(super) fn encode(buffer: &Buffer) -> Any {
    any(TYPE, &to_proto(buffer))
}

fn to_proto(buffer: &Buffer) -> Proto {
    Proto { max_request_bytes: u32_value(buffer.max_request_bytes) }
}

pub(super) fn encode_override(said: &BufferOverride) -> Any {
    let said = match said {
        BufferOverride::Buffer(buffer) => Override::Buffer(to_proto(buffer)),
        BufferOverride::Disabled => Override::Disabled(true),
    };
    any(ROUTE_TYPE, &BufferPerRoute { r#override: Some(said) })
}

pub(super) fn decode(config: &Any) -> Result<Buffer> {
    from_proto(&unpack(Some(config), TYPE)?)
}

fn from_proto(proto: &Proto) -> Result<Buffer> {
    match &proto.max_request_bytes {
        Some(most) if most.value > 0 => Ok(Buffer { max_request_bytes: most.value }),
        _ => Err(DecodeError::new("max_request_bytes", "must be above zero")),
    }
}

pub(super) fn decode_override(config: &Any) -> Result<BufferOverride> {
    let proto: BufferPerRoute = unpack(Some(config), ROUTE_TYPE)?;
    match &proto.r#override {
        Some(Override::Buffer(buffer)) => Ok(BufferOverride::Buffer(from_proto(buffer).at("buffer")?)),
        Some(Override::Disabled(true)) => Ok(BufferOverride::Disabled),
        Some(Override::Disabled(false)) => Err(DecodeError::new("disabled", "can only be true")),
        None => Err(DecodeError::new("buffer", "is missing")),
    }
}
