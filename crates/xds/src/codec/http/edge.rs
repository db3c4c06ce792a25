//! What the connection manager makes of requests and responses by itself.

use leno_ir::{EscapedSlashes, HttpEdge, ServerHeader, StripPort, UnderscoreHeaders};
use leno_proto::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager as Proto,
    http_connection_manager::{PathWithEscapedSlashesAction, ServerHeaderTransformation, StripPortMode},
};

use crate::codec::common::bool_value;
use crate::codec::error::{DecodeError, Result};

pub(super) fn encode(edge: &HttpEdge, proto: &mut Proto) {
    proto.use_remote_address = bool_value(edge.use_remote_address);
    proto.xff_num_trusted_hops = edge.xff_num_trusted_hops;
    proto.skip_xff_append = edge.skip_xff_append;
    proto.via.clone_from(&edge.via);
    proto.server_name.clone_from(&edge.server_name);
    proto.server_header_transformation = match edge.server_header {
        ServerHeader::AppendIfAbsent => ServerHeaderTransformation::AppendIfAbsent,
        ServerHeader::Overwrite => ServerHeaderTransformation::Overwrite,
        ServerHeader::PassThrough => ServerHeaderTransformation::PassThrough,
    }
    .into();
    proto.preserve_external_request_id = edge.preserve_external_request_id;
    proto.always_set_request_id_in_response = edge.always_set_request_id_in_response;
    proto.normalize_path = bool_value(edge.normalize_path);
    proto.merge_slashes = edge.merge_slashes;
    proto.path_with_escaped_slashes_action = match edge.escaped_slashes {
        EscapedSlashes::KeepUnchanged => PathWithEscapedSlashesAction::KeepUnchanged,
        EscapedSlashes::Reject => PathWithEscapedSlashesAction::RejectRequest,
        EscapedSlashes::UnescapeAndForward => PathWithEscapedSlashesAction::UnescapeAndForward,
        EscapedSlashes::UnescapeAndRedirect => PathWithEscapedSlashesAction::UnescapeAndRedirect,
    }
    .into();
    match edge.strip_port {
        StripPort::Any => proto.strip_port_mode = Some(StripPortMode::StripAnyHostPort(true)),
        StripPort::Keep => {}
        StripPort::Matching => proto.strip_matching_host_port = true,
    }
    proto.strip_trailing_host_dot = edge.strip_trailing_host_dot;
    let action = match edge.headers_with_underscores {
        UnderscoreHeaders::Allow => HeadersWithUnderscoresAction::Allow,
        UnderscoreHeaders::Drop => HeadersWithUnderscoresAction::DropHeader,
        UnderscoreHeaders::Reject => HeadersWithUnderscoresAction::RejectRequest,
    };
    if let Some(common) = &mut proto.common_http_protocol_options {
        common.headers_with_underscores_action = action.into();
    }
}

pub(super) fn decode(proto: &Proto) -> Result<HttpEdge> {
    let common = proto.common_http_protocol_options.as_ref();
    let strips_any = matches!(proto.strip_port_mode, Some(StripPortMode::StripAnyHostPort(true)));
    if strips_any && proto.strip_matching_host_port {
        let reason = "cannot be together with strip_matching_host_port";
        return Err(DecodeError::new("strip_any_host_port", reason));
    }
    Ok(HttpEdge {
        use_remote_address: proto.use_remote_address.as_ref().is_some_and(|use_it| use_it.value),
        xff_num_trusted_hops: proto.xff_num_trusted_hops,
        skip_xff_append: proto.skip_xff_append,
        via: proto.via.clone(),
        server_name: proto.server_name.clone(),
        server_header: match proto.server_header_transformation() {
            ServerHeaderTransformation::AppendIfAbsent => ServerHeader::AppendIfAbsent,
            ServerHeaderTransformation::Overwrite => ServerHeader::Overwrite,
            ServerHeaderTransformation::PassThrough => ServerHeader::PassThrough,
        },
        preserve_external_request_id: proto.preserve_external_request_id,
        always_set_request_id_in_response: proto.always_set_request_id_in_response,
        normalize_path: proto.normalize_path.as_ref().is_some_and(|normalize| normalize.value),
        merge_slashes: proto.merge_slashes,
        escaped_slashes: match proto.path_with_escaped_slashes_action() {
            PathWithEscapedSlashesAction::ImplementationSpecificDefault
            | PathWithEscapedSlashesAction::KeepUnchanged => EscapedSlashes::KeepUnchanged,
            PathWithEscapedSlashesAction::RejectRequest => EscapedSlashes::Reject,
            PathWithEscapedSlashesAction::UnescapeAndForward => EscapedSlashes::UnescapeAndForward,
            PathWithEscapedSlashesAction::UnescapeAndRedirect => EscapedSlashes::UnescapeAndRedirect,
        },
        strip_port: match proto.strip_matching_host_port {
            _ if strips_any => StripPort::Any,
            true => StripPort::Matching,
            false => StripPort::Keep,
        },
        strip_trailing_host_dot: proto.strip_trailing_host_dot,
        headers_with_underscores: match common.map(|common| common.headers_with_underscores_action()) {
            None | Some(HeadersWithUnderscoresAction::Allow) => UnderscoreHeaders::Allow,
            Some(HeadersWithUnderscoresAction::DropHeader) => UnderscoreHeaders::Drop,
            Some(HeadersWithUnderscoresAction::RejectRequest) => UnderscoreHeaders::Reject,
        },
    })
}
