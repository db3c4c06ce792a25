//! What the connection manager makes of requests and responses by itself.

use leno_ir::{
    CidrRange, ClientCertDetails, EscapedSlashes, ForwardClientCert, ForwardedFor, HttpEdge, Scheme, ServerHeader,
    StripPort, UnderscoreHeaders,
};
use leno_proto::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use leno_proto::envoy::config::core::v3::scheme_header_transformation::Transformation;
use leno_proto::envoy::config::core::v3::{SchemeHeaderTransformation, TypedExtensionConfig};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager as Proto,
    http_connection_manager::{
        ForwardClientCertDetails, InternalAddressConfig, PathWithEscapedSlashesAction, ServerHeaderTransformation,
        SetCurrentClientCertDetails, StripPortMode,
    },
};
use leno_proto::envoy::extensions::http::original_ip_detection::xff::v3::{XffConfig, XffTrustedCidrs};

use crate::codec::common::{any, bool_value, is_type, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::rbac::{decode_range, encode_range};

const XFF: &str = "envoy.extensions.http.original_ip_detection.xff.v3.XffConfig";

pub(super) fn encode(edge: &HttpEdge, proto: &mut Proto) {
    proto.use_remote_address = bool_value(edge.use_remote_address);
    proto.xff_num_trusted_hops = edge.xff_num_trusted_hops;
    proto.skip_xff_append = edge.skip_xff_append;
    proto.original_ip_detection_extensions = edge.original_ip.iter().map(encode_forwarded_for).collect();
    if !edge.internal_addresses.is_empty() {
        let cidr_ranges = edge.internal_addresses.iter().map(encode_range).collect();
        proto.internal_address_config = Some(InternalAddressConfig { unix_sockets: false, cidr_ranges });
    }
    proto.append_x_forwarded_port = edge.append_x_forwarded_port;
    proto.add_user_agent = edge.add_user_agent.then(|| bool_value(true)).flatten();
    proto.scheme_header_transformation = edge.scheme.map(|scheme| SchemeHeaderTransformation {
        transformation: Some(Transformation::SchemeToOverwrite(scheme.as_str().to_owned())),
        ..SchemeHeaderTransformation::default()
    });
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

fn encode_forwarded_for(forwarded: &ForwardedFor) -> TypedExtensionConfig {
    let ranges = &forwarded.trusted_ranges;
    let cidrs = ranges.iter().map(encode_range).collect();
    let config = XffConfig {
        xff_num_trusted_hops: forwarded.trusted_hops,
        xff_trusted_cidrs: (!ranges.is_empty()).then_some(XffTrustedCidrs { cidrs }),
        skip_xff_append: forwarded.appends.then(|| bool_value(false)).flatten(),
    };
    TypedExtensionConfig {
        name: "envoy.http.original_ip_detection.xff".to_owned(),
        typed_config: Some(any(XFF, &config)),
    }
}

fn decode_original_ip(extensions: &[TypedExtensionConfig]) -> Result<Option<ForwardedFor>> {
    let extension = match extensions {
        [] => return Ok(None),
        [extension] => extension,
        _ => return Err(DecodeError::new("", "only one extension is supported")),
    };
    if !is_type(extension.typed_config.as_ref(), XFF) {
        return Err(DecodeError::new("", format!("{} is not supported", extension.name)));
    }
    let config: XffConfig = unpack(extension.typed_config.as_ref(), XFF)?;
    let ranges = config.xff_trusted_cidrs.map(|trusted| trusted.cidrs).unwrap_or_default();
    if !ranges.is_empty() && config.xff_num_trusted_hops > 0 {
        return Err(DecodeError::new("xff_trusted_cidrs", "cannot be together with xff_num_trusted_hops"));
    }
    Ok(Some(ForwardedFor {
        trusted_hops: config.xff_num_trusted_hops,
        trusted_ranges: ranges.iter().map(decode_range).collect::<Result<_>>().at("xff_trusted_cidrs")?,
        appends: config.skip_xff_append.is_some_and(|skips| !skips.value),
    }))
}

fn decode_internal(config: &InternalAddressConfig) -> Result<Vec<CidrRange>> {
    refuse!(config, unix_sockets);
    config.cidr_ranges.iter().map(decode_range).collect()
}

fn decode_scheme(transformation: &SchemeHeaderTransformation) -> Result<Option<Scheme>> {
    refuse!(transformation, match_upstream);
    match &transformation.transformation {
        None => Ok(None),
        Some(Transformation::SchemeToOverwrite(scheme)) => match scheme.as_str() {
            "http" => Ok(Some(Scheme::Http)),
            "https" => Ok(Some(Scheme::Https)),
            _ => Err(DecodeError::new("scheme_to_overwrite", "is neither http nor https")),
        },
    }
}

pub(super) fn encode_client_cert(forward: ForwardClientCert, details: ClientCertDetails, proto: &mut Proto) {
    proto.forward_client_cert_details = match forward {
        ForwardClientCert::AlwaysForwardOnly => ForwardClientCertDetails::AlwaysForwardOnly,
        ForwardClientCert::AppendForward => ForwardClientCertDetails::AppendForward,
        ForwardClientCert::ForwardOnly => ForwardClientCertDetails::ForwardOnly,
        ForwardClientCert::Sanitize => ForwardClientCertDetails::Sanitize,
        ForwardClientCert::SanitizeSet => ForwardClientCertDetails::SanitizeSet,
    }
    .into();
    let ClientCertDetails { cert, chain, subject, uri, dns } = details;
    let subject = subject.then(|| bool_value(true)).flatten();
    proto.set_current_client_cert_details =
        Some(SetCurrentClientCertDetails { subject, cert, chain, dns, uri, ..SetCurrentClientCertDetails::default() });
}

pub(super) fn decode_client_cert(proto: &Proto) -> Result<(ForwardClientCert, ClientCertDetails)> {
    let forward = match proto.forward_client_cert_details() {
        ForwardClientCertDetails::AlwaysForwardOnly => ForwardClientCert::AlwaysForwardOnly,
        ForwardClientCertDetails::AppendForward => ForwardClientCert::AppendForward,
        ForwardClientCertDetails::ForwardOnly => ForwardClientCert::ForwardOnly,
        ForwardClientCertDetails::Sanitize => ForwardClientCert::Sanitize,
        ForwardClientCertDetails::SanitizeSet => ForwardClientCert::SanitizeSet,
    };
    let details = proto.set_current_client_cert_details.unwrap_or_default();
    refuse!(details, issuer, format);
    let SetCurrentClientCertDetails { subject, cert, chain, dns, uri, .. } = details;
    let subject = subject.is_some_and(|subject| subject.value);
    Ok((forward, ClientCertDetails { cert, chain, subject, uri, dns }))
}

pub(super) fn decode(proto: &Proto) -> Result<HttpEdge> {
    let common = proto.common_http_protocol_options.as_ref();
    let strips_any = matches!(proto.strip_port_mode, Some(StripPortMode::StripAnyHostPort(true)));
    if strips_any && proto.strip_matching_host_port {
        let reason = "cannot be together with strip_matching_host_port";
        return Err(DecodeError::new("strip_any_host_port", reason));
    }
    let use_remote_address = proto.use_remote_address.as_ref().is_some_and(|use_it| use_it.value);
    let extensions = &proto.original_ip_detection_extensions;
    if !extensions.is_empty() && (use_remote_address || proto.xff_num_trusted_hops > 0) {
        let reason = "cannot be together with use_remote_address or xff_num_trusted_hops";
        return Err(DecodeError::new("original_ip_detection_extensions", reason));
    }
    let internal = proto.internal_address_config.as_ref().map(decode_internal).transpose();
    let scheme = proto.scheme_header_transformation.as_ref().map(decode_scheme).transpose();
    Ok(HttpEdge {
        use_remote_address,
        original_ip: decode_original_ip(extensions).at_index("original_ip_detection_extensions", 0)?,
        internal_addresses: internal.at("internal_address_config")?.unwrap_or_default(),
        append_x_forwarded_port: proto.append_x_forwarded_port,
        add_user_agent: proto.add_user_agent.is_some_and(|add| add.value),
        scheme: scheme.at("scheme_header_transformation")?.flatten(),
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
