use leno_ir::{DecompressedDirection, Decompressor, DecompressorEncoding};
use leno_proto::envoy::config::core::v3::{RuntimeFeatureFlag, TypedExtensionConfig};
use leno_proto::envoy::extensions::compression::brotli::decompressor::v3::Brotli;
use leno_proto::envoy::extensions::compression::gzip::decompressor::v3::Gzip;
use leno_proto::envoy::extensions::compression::zstd::decompressor::v3::Zstd;
use leno_proto::envoy::extensions::filters::http::decompressor::v3::{
    Decompressor as Proto,
    decompressor::{CommonDirectionConfig, RequestDirectionConfig, ResponseDirectionConfig},
};
use leno_proto::google::protobuf::{Any, UInt32Value};

use crate::codec::common::{any, bool_value, is_type, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result, refuse};

pub(super) const TYPE: &str = "envoy.extensions.filters.http.decompressor.v3.Decompressor";
const BROTLI: &str = "envoy.extensions.compression.brotli.decompressor.v3.Brotli";
const GZIP: &str = "envoy.extensions.compression.gzip.decompressor.v3.Gzip";
const ZSTD: &str = "envoy.extensions.compression.zstd.decompressor.v3.Zstd";

pub(super) fn encode(filter: &Decompressor) -> Any {
    let library = match filter.encoding {
        DecompressorEncoding::Brotli => any(BROTLI, &Brotli::default()),
        DecompressorEncoding::Gzip { max_inflate_ratio } => {
            any(GZIP, &Gzip { max_inflate_ratio: u32_value(max_inflate_ratio), ..Gzip::default() })
        }
        DecompressorEncoding::Zstd => any(ZSTD, &Zstd::default()),
    };
    let proto = Proto {
        decompressor_library: Some(TypedExtensionConfig {
            name: filter.library_name.clone(),
            typed_config: Some(library),
        }),
        request_direction_config: Some(RequestDirectionConfig {
            common_config: Some(encode_direction(filter.requests)),
            advertise_accept_encoding: bool_value(filter.advertises),
        }),
        response_direction_config: Some(ResponseDirectionConfig {
            common_config: Some(encode_direction(filter.responses)),
        }),
    };
    any(TYPE, &proto)
}

fn encode_direction(direction: DecompressedDirection) -> CommonDirectionConfig {
    CommonDirectionConfig {
        enabled: (!direction.enabled).then(|| RuntimeFeatureFlag {
            default_value: bool_value(false),
            runtime_key: "decompressor.enabled".to_owned(),
        }),
        ignore_no_transform_header: direction.ignores_no_transform,
    }
}

pub(super) fn decode(config: &Any) -> Result<Decompressor> {
    let proto: Proto = unpack(Some(config), TYPE)?;
    let library = proto.decompressor_library.as_ref();
    let library = library.ok_or_else(|| DecodeError::new("decompressor_library", "is missing"))?;
    let encoding = decode_encoding(library.typed_config.as_ref()).at("typed_config").at("decompressor_library")?;
    let requests = proto.request_direction_config.unwrap_or_default();
    let responses = proto.response_direction_config.unwrap_or_default();
    Ok(Decompressor {
        library_name: library.name.clone(),
        encoding,
        requests: decode_direction(requests.common_config.as_ref()),
        responses: decode_direction(responses.common_config.as_ref()),
        advertises: requests.advertise_accept_encoding.is_none_or(|advertises| advertises.value),
    })
}

fn decode_encoding(config: Option<&Any>) -> Result<DecompressorEncoding> {
    let in_bounds = |value: Option<UInt32Value>, field: &str, low: u32, high: u32| match value {
        Some(UInt32Value { value }) if !(low..=high).contains(&value) => {
            Err(DecodeError::new(field, format!("must be from {low} to {high}")))
        }
        value => Ok(value.map(|value| value.value)),
    };
    if is_type(config, GZIP) {
        let gzip: Gzip = unpack(config, GZIP)?;
        // Whatever was said, every window is taken.
        in_bounds(gzip.window_bits, "window_bits", 9, 15)?;
        let max = in_bounds(gzip.max_inflate_ratio, "max_inflate_ratio", 1, 1032)?;
        let max_inflate_ratio = max.unwrap_or(DecompressorEncoding::MAX_INFLATE_RATIO);
        Ok(DecompressorEncoding::Gzip { max_inflate_ratio })
    } else if is_type(config, BROTLI) {
        Ok(DecompressorEncoding::Brotli)
    } else if is_type(config, ZSTD) {
        let zstd: Zstd = unpack(config, ZSTD)?;
        refuse!(zstd, dictionaries);
        Ok(DecompressorEncoding::Zstd)
    } else {
        Err(DecodeError::new("", "no such decompressor library here: brotli, gzip and zstd are"))
    }
}

fn decode_direction(config: Option<&CommonDirectionConfig>) -> DecompressedDirection {
    let Some(config) = config else { return DecompressedDirection::default() };
    DecompressedDirection {
        // There is no runtime; a flag without a default is on.
        enabled: config.enabled.as_ref().and_then(|flag| flag.default_value).is_none_or(|value| value.value),
        ignores_no_transform: config.ignore_no_transform_header,
    }
}
