use leno_ir::{
    CompressedDirection, Compressor, CompressorEncoding, CompressorLibrary, ContentTypes, ResponseCompression,
    RouteCompressor,
};
use leno_proto::envoy::config::core::v3::{RuntimeFeatureFlag, TypedExtensionConfig};
use leno_proto::envoy::extensions::compression::brotli::compressor::v3::Brotli;
use leno_proto::envoy::extensions::compression::gzip::compressor::v3::{Gzip, gzip::CompressionLevel};
use leno_proto::envoy::extensions::compression::zstd::compressor::v3::Zstd;
use leno_proto::envoy::extensions::filters::http::compressor::v3::{
    Compressor as Proto, CompressorOverrides, CompressorPerRoute, ResponseDirectionOverrides,
    compressor::{CommonDirectionConfig, RequestDirectionConfig, ResponseDirectionConfig},
    compressor_per_route::Override,
};
use leno_proto::google::protobuf::{Any, UInt32Value};

use crate::codec::common::{any, bool_value, is_type, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};
use crate::codec::matching;

pub(super) const TYPE: &str = "envoy.extensions.filters.http.compressor.v3.Compressor";
pub(super) const ROUTE_TYPE: &str = "envoy.extensions.filters.http.compressor.v3.CompressorPerRoute";
const BROTLI: &str = "envoy.extensions.compression.brotli.compressor.v3.Brotli";
const GZIP: &str = "envoy.extensions.compression.gzip.compressor.v3.Gzip";
const ZSTD: &str = "envoy.extensions.compression.zstd.compressor.v3.Zstd";

#[allow(deprecated, reason = "what the older fields said decides about the names of counters")]
pub(super) fn encode(filter: &Compressor) -> Any {
    let common = encode_common(&filter.responses);
    let options = &filter.response_options;
    let mut proto = Proto {
        compressor_library: Some(encode_library(&filter.library)),
        request_direction_config: filter
            .requests
            .as_ref()
            .map(|requests| RequestDirectionConfig { common_config: Some(encode_common(requests)) }),
        choose_first: filter.choose_first,
        ..Proto::default()
    };
    if filter.has_response_stat_prefix || !has_older_fields(filter) {
        proto.response_direction_config = Some(ResponseDirectionConfig {
            common_config: Some(common),
            disable_on_etag_header: options.disable_on_etag,
            weaken_etag_on_compress: options.weaken_etag,
            remove_accept_encoding_header: options.remove_accept_encoding,
            uncompressible_response_codes: options.uncompressible_statuses.iter().copied().map(u32::from).collect(),
            ..ResponseDirectionConfig::default()
        });
    } else {
        proto.content_length = common.min_content_length;
        proto.content_type = common.content_type;
        proto.runtime_enabled = common.enabled;
        proto.disable_on_etag_header = options.disable_on_etag;
        proto.remove_accept_encoding_header = options.remove_accept_encoding;
    }
    any(TYPE, &proto)
}

/// Whether there is a field, among those that go without a prefix of counters, for all that the filter does.
fn has_older_fields(filter: &Compressor) -> bool {
    let options = &filter.response_options;
    matches!(filter.responses.content_types, ContentTypes::List(_))
        && !options.weaken_etag
        && options.uncompressible_statuses.is_empty()
}

#[allow(deprecated, reason = "other control planes still write the older fields")]
pub(super) fn decode(config: &Any) -> Result<Compressor> {
    let proto: Proto = unpack(Some(config), TYPE)?;
    let requests =
        proto.request_direction_config.as_ref().map(|requests| decode_common(requests.common_config.as_ref()));
    let older = CommonDirectionConfig {
        enabled: proto.runtime_enabled.clone(),
        min_content_length: proto.content_length,
        content_type: proto.content_type.clone(),
        content_type_matcher: Vec::new(),
    };
    let (responses, response_options) = match &proto.response_direction_config {
        None => {
            let options = ResponseCompression {
                disable_on_etag: proto.disable_on_etag_header,
                remove_accept_encoding: proto.remove_accept_encoding_header,
                ..ResponseCompression::default()
            };
            (decode_common(Some(&older))?, options)
        }
        Some(responses) => {
            let common = decode_common(responses.common_config.as_ref()).at("common_config");
            let both = common.and_then(|common| Ok((common, decode_options(responses)?)));
            both.at("response_direction_config")?
        }
    };
    Ok(Compressor {
        library: decode_library(proto.compressor_library.as_ref()).at("compressor_library")?,
        requests: requests.transpose().at("request_direction_config.common_config")?,
        responses,
        response_options,
        has_response_stat_prefix: proto.response_direction_config.is_some(),
        choose_first: proto.choose_first,
    })
}

fn decode_options(responses: &ResponseDirectionConfig) -> Result<ResponseCompression> {
    refuse!(responses, status_header_enabled);
    let status = |status: &u32| match u16::try_from(*status) {
        Ok(status) if (200..600).contains(&status) => Ok(status),
        _ => Err(DecodeError::new("uncompressible_response_codes", format!("{status} is no status of a response"))),
    };
    Ok(ResponseCompression {
        disable_on_etag: responses.disable_on_etag_header,
        weaken_etag: responses.weaken_etag_on_compress,
        remove_accept_encoding: responses.remove_accept_encoding_header,
        uncompressible_statuses: responses.uncompressible_response_codes.iter().map(status).collect::<Result<_>>()?,
    })
}

fn encode_common(direction: &CompressedDirection) -> CommonDirectionConfig {
    let (content_type, content_type_matcher) = match &direction.content_types {
        ContentTypes::List(types) => (types.clone(), Vec::new()),
        ContentTypes::Match(matches) => (Vec::new(), matches.iter().map(matching::encode).collect()),
    };
    #[allow(deprecated, reason = "the list is not what a list of matchers says: it ignores case")]
    CommonDirectionConfig {
        enabled: (!direction.enabled).then(|| RuntimeFeatureFlag {
            default_value: bool_value(false),
            runtime_key: "compressor.enabled".to_owned(),
        }),
        min_content_length: u32_value(direction.min_content_length),
        content_type,
        content_type_matcher,
    }
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn decode_common(config: Option<&CommonDirectionConfig>) -> Result<CompressedDirection> {
    let Some(config) = config else { return Ok(CompressedDirection::default()) };
    let mut matchers = Vec::with_capacity(config.content_type_matcher.len());
    for (index, matcher) in config.content_type_matcher.iter().enumerate() {
        matchers.push(matching::decode(matcher).at_index("content_type_matcher", index)?);
    }
    Ok(CompressedDirection {
        // There is no runtime; a flag without a default is on.
        enabled: config.enabled.as_ref().and_then(|flag| flag.default_value).is_none_or(|value| value.value),
        min_content_length: match config.min_content_length {
            Some(UInt32Value { value }) if value > 0 => value,
            _ => CompressedDirection::MIN_CONTENT_LENGTH,
        },
        content_types: match matchers.is_empty() {
            true => ContentTypes::List(config.content_type.clone()),
            false => ContentTypes::Match(matchers),
        },
    })
}

fn encode_library(library: &CompressorLibrary) -> TypedExtensionConfig {
    let config = match library.encoding {
        CompressorEncoding::Brotli { quality, window_bits } => any(
            BROTLI,
            &Brotli {
                quality: u32_value(quality.into()),
                window_bits: u32_value(window_bits.into()),
                ..Brotli::default()
            },
        ),
        CompressorEncoding::Gzip { level, window_bits } => any(
            GZIP,
            &Gzip { compression_level: level.into(), window_bits: u32_value(window_bits.into()), ..Gzip::default() },
        ),
        CompressorEncoding::Zstd { level, checksum } => any(
            ZSTD,
            &Zstd { compression_level: u32_value(level.into()), enable_checksum: checksum, ..Zstd::default() },
        ),
    };
    TypedExtensionConfig { name: library.name.clone(), typed_config: Some(config) }
}

fn decode_library(library: Option<&TypedExtensionConfig>) -> Result<CompressorLibrary> {
    let library = library.ok_or_else(|| DecodeError::new("", "is missing"))?;
    let encoding = decode_encoding(library.typed_config.as_ref()).at("typed_config")?;
    Ok(CompressorLibrary { name: library.name.clone(), encoding })
}

fn decode_encoding(config: Option<&Any>) -> Result<CompressorEncoding> {
    let setting = |value: Option<UInt32Value>, default: u8, field: &str, bounds: std::ops::RangeInclusive<u8>| {
        let value = u8::try_from(value.map_or(default.into(), |value| value.value)).ok();
        let (low, high) = (bounds.start(), bounds.end());
        let error = || DecodeError::new(field, format!("must be from {low} to {high}"));
        value.filter(|value| bounds.contains(value)).ok_or_else(error)
    };
    if is_type(config, GZIP) {
        let gzip: Gzip = unpack(config, GZIP)?;
        let level = match gzip.compression_level() {
            CompressionLevel::DefaultCompression => 6,
            other => u8::try_from(i32::from(other)).unwrap_or(6),
        };
        Ok(CompressorEncoding::Gzip { level, window_bits: setting(gzip.window_bits, 12, "window_bits", 9..=15)? })
    } else if is_type(config, BROTLI) {
        let brotli: Brotli = unpack(config, BROTLI)?;
        Ok(CompressorEncoding::Brotli {
            quality: setting(brotli.quality, 3, "quality", 0..=11)?,
            window_bits: setting(brotli.window_bits, 18, "window_bits", 10..=24)?,
        })
    } else if is_type(config, ZSTD) {
        let zstd: Zstd = unpack(config, ZSTD)?;
        refuse!(zstd, dictionary);
        let level = match setting(zstd.compression_level, 3, "compression_level", 0..=22)? {
            0 => 3,
            level => level,
        };
        Ok(CompressorEncoding::Zstd { level, checksum: zstd.enable_checksum })
    } else {
        Err(DecodeError::new("", "no such compressor library here: brotli, gzip and zstd are"))
    }
}

pub(super) fn encode_route(route: RouteCompressor) -> Any {
    let overrides = |response_direction_config| {
        Override::Overrides(CompressorOverrides { response_direction_config, compressor_library: None })
    };
    let said = match route {
        RouteCompressor::Disabled => Override::Disabled(true),
        RouteCompressor::Enabled { remove_accept_encoding } => overrides(Some(ResponseDirectionOverrides {
            remove_accept_encoding_header: remove_accept_encoding.and_then(bool_value),
        })),
        RouteCompressor::Inherited => overrides(None),
    };
    any(ROUTE_TYPE, &CompressorPerRoute { r#override: Some(said) })
}

pub(super) fn decode_route(config: &Any) -> Result<RouteCompressor> {
    let route: CompressorPerRoute = unpack(Some(config), ROUTE_TYPE)?;
    match route.r#override {
        // Envoy: `const: true`.
        Some(Override::Disabled(true)) => Ok(RouteCompressor::Disabled),
        Some(Override::Disabled(false)) => Err(DecodeError::new("disabled", "must be true")),
        Some(Override::Overrides(overrides)) => {
            refuse!(overrides, compressor_library);
            Ok(match overrides.response_direction_config {
                None => RouteCompressor::Inherited,
                Some(responses) => RouteCompressor::Enabled {
                    remove_accept_encoding: responses.remove_accept_encoding_header.map(|remove| remove.value),
                },
            })
        }
        None => Err(DecodeError::new("override", "is missing")),
    }
}
