//! How HTTP/1 and HTTP/2 are spoken, on either side.

use std::time::Duration;

use leno_ir::{HeaderNames, Http1Options, Http2Keepalive, Http2Options};
use leno_proto::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, KeepaliveSettings, TypedExtensionConfig,
    http1_protocol_options::{
        HeaderKeyFormat,
        header_key_format::{HeaderFormat, ProperCaseWords},
    },
};
use leno_proto::envoy::extensions::http::header_formatters::preserve_case::v3::PreserveCaseFormatterConfig;

use crate::codec::common::{any, bool_value, duration, is_type, read_duration, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::matching;

const PRESERVE_CASE: &str = "envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig";
/// What Envoy takes as a window (RFC 9113 §6.5.2).
const WINDOW: std::ops::RangeInclusive<u32> = 65_535..=0x7fff_ffff;

pub(in crate::codec) fn encode_http1(options: &Http1Options) -> Http1ProtocolOptions {
    let format = match options.names {
        HeaderNames::AsReceived => Some(HeaderFormat::StatefulFormatter(TypedExtensionConfig {
            name: "preserve_case".to_owned(),
            typed_config: Some(any(PRESERVE_CASE, &PreserveCaseFormatterConfig::default())),
        })),
        HeaderNames::Lower => None,
        HeaderNames::ProperCase => Some(HeaderFormat::ProperCaseWords(ProperCaseWords {})),
    };
    Http1ProtocolOptions {
        enable_trailers: options.trailers,
        header_key_format: format.map(|format| HeaderKeyFormat { header_format: Some(format) }),
        accept_http_10: options.accept_http_10,
        default_host_for_http_10: options.default_host_for_http_10.clone(),
        allow_custom_methods: options.custom_methods,
        ignore_http_11_upgrade: options.ignored_upgrades.iter().map(matching::encode).collect(),
        send_fully_qualified_url: options.absolute_target,
        override_stream_error_on_invalid_http_message: if options.stream_errors { bool_value(true) } else { None },
        ..Http1ProtocolOptions::default()
    }
}

pub(in crate::codec) fn decode_http1(options: Option<&Http1ProtocolOptions>) -> Result<Http1Options> {
    let Some(options) = options else { return Ok(Http1Options::default()) };
    refuse!(options, allow_chunked_length);
    if options.allow_absolute_url.as_ref().is_some_and(|allow| !allow.value) {
        // RFC 9112 §3.2.2 has every server take it.
        return Err(DecodeError::new("allow_absolute_url", "cannot be turned off"));
    }
    let mut ignored_upgrades = Vec::with_capacity(options.ignore_http_11_upgrade.len());
    for (index, matcher) in options.ignore_http_11_upgrade.iter().enumerate() {
        ignored_upgrades.push(matching::decode(matcher).at_index("ignore_http_11_upgrade", index)?);
    }
    let format = options.header_key_format.as_ref().and_then(|format| format.header_format.as_ref());
    Ok(Http1Options {
        trailers: options.enable_trailers,
        names: match format {
            None => HeaderNames::Lower,
            Some(HeaderFormat::ProperCaseWords(_)) => HeaderNames::ProperCase,
            Some(HeaderFormat::StatefulFormatter(formatter)) => decode_formatter(formatter).at("header_key_format")?,
        },
        accept_http_10: options.accept_http_10,
        default_host_for_http_10: options.default_host_for_http_10.clone(),
        custom_methods: options.allow_custom_methods,
        ignored_upgrades,
        absolute_target: options.send_fully_qualified_url,
        stream_errors: options.override_stream_error_on_invalid_http_message.is_some_and(|errors| errors.value),
    })
}

fn decode_formatter(formatter: &TypedExtensionConfig) -> Result<HeaderNames> {
    let config = formatter.typed_config.as_ref();
    if !is_type(config, PRESERVE_CASE) {
        return Err(DecodeError::new("stateful_formatter", "only preserve_case is supported"));
    }
    let config: PreserveCaseFormatterConfig = unpack(config, PRESERVE_CASE).at("stateful_formatter")?;
    refuse!(config, forward_reason_phrase);
    if config.formatter_type_on_envoy_headers != 0 {
        return Err(DecodeError::unsupported("stateful_formatter.formatter_type_on_envoy_headers"));
    }
    Ok(HeaderNames::AsReceived)
}

pub(in crate::codec) fn encode_http2(options: &Http2Options) -> Http2ProtocolOptions {
    Http2ProtocolOptions {
        allow_connect: options.allow_connect,
        initial_stream_window_size: options.stream_window_bytes.and_then(u32_value),
        initial_connection_window_size: options.connection_window_bytes.and_then(u32_value),
        connection_keepalive: options.keepalive.as_ref().map(|keepalive| KeepaliveSettings {
            interval: duration(keepalive.interval),
            timeout: duration(keepalive.timeout),
            ..KeepaliveSettings::default()
        }),
        ..Http2ProtocolOptions::default()
    }
}

pub(in crate::codec) fn decode_http2(options: Option<&Http2ProtocolOptions>) -> Result<Http2Options> {
    let Some(options) = options else { return Ok(Http2Options::default()) };
    // `override_stream_error_on_invalid_http_message` is not looked at: a message that is wrong ends its stream and nothing
    // else (RFC 9113 §8.1.1).
    refuse!(options, allow_metadata, custom_settings_parameters, hpack_table_size);
    refuse!(options, max_outbound_frames, max_outbound_control_frames, max_inbound_priority_frames_per_stream);
    refuse!(options, max_consecutive_inbound_frames_with_empty_payload);
    refuse!(options, max_inbound_window_update_frames_per_data_frame_sent, max_metadata_size);
    let window = |size: Option<u32>, field: &str| match size {
        Some(size) if !WINDOW.contains(&size) => Err(DecodeError::new(field, "is not between 65535 and 2147483647")),
        size => Ok(size),
    };
    let stream = options.initial_stream_window_size.map(|size| size.value);
    let connection = options.initial_connection_window_size.map(|size| size.value);
    let keepalive = options.connection_keepalive.as_ref().map(decode_keepalive).transpose();
    Ok(Http2Options {
        allow_connect: options.allow_connect,
        stream_window_bytes: window(stream, "initial_stream_window_size")?,
        connection_window_bytes: window(connection, "initial_connection_window_size")?,
        keepalive: keepalive.at("connection_keepalive")?,
    })
}

fn decode_keepalive(settings: &KeepaliveSettings) -> Result<Http2Keepalive> {
    let positive = |span: Option<Duration>| span.filter(|span| !span.is_zero());
    refuse!(settings, connection_idle_interval, interval_jitter);
    let missing = |field: &str| DecodeError::new(field, "is missing");
    Ok(Http2Keepalive {
        interval: positive(read_duration(settings.interval.as_ref())).ok_or_else(|| missing("interval"))?,
        timeout: positive(read_duration(settings.timeout.as_ref())).ok_or_else(|| missing("timeout"))?,
    })
}
