//! What is made of the responses that the proxy gives itself.

use leno_ir::{BodyFormat, BodyFormatKind, HeaderOps, LocalReplies, LocalReplyMapper};
use leno_proto::envoy::config::core::v3::{
    DataSource, SubstitutionFormatString, data_source::Specifier, substitution_format_string::Format,
};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{LocalReplyConfig, ResponseMapper};

use crate::codec::access_log::{decode_filter, decode_object, encode_filter, encode_object};
use crate::codec::common::{headers_to_add, read_header_ops, u32_value};
use crate::codec::error::{At, DecodeError, Result, refuse};

pub(super) fn encode(replies: &LocalReplies) -> Option<LocalReplyConfig> {
    (*replies != LocalReplies::default()).then(|| LocalReplyConfig {
        mappers: replies.mappers.iter().map(encode_mapper).collect(),
        body_format: replies.body_format.as_ref().map(encode_format),
    })
}

fn encode_mapper(mapper: &LocalReplyMapper) -> ResponseMapper {
    ResponseMapper {
        filter: Some(encode_filter(&mapper.filter)),
        status_code: mapper.status.and_then(|status| u32_value(status.into())),
        body: mapper.body.as_deref().map(inline),
        body_format_override: mapper.body_format.as_ref().map(encode_format),
        headers_to_add: headers_to_add(&mapper.headers),
    }
}

fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..DataSource::default() }
}

fn encode_format(format: &BodyFormat) -> SubstitutionFormatString {
    SubstitutionFormatString {
        format: Some(match &format.kind {
            BodyFormatKind::Json(fields) => Format::JsonFormat(encode_object(fields)),
            BodyFormatKind::Text(text) => Format::TextFormatSource(inline(text)),
        }),
        omit_empty_values: format.omit_empty,
        content_type: format.content_type.clone().unwrap_or_default(),
        ..SubstitutionFormatString::default()
    }
}

pub(super) fn decode(config: &LocalReplyConfig) -> Result<LocalReplies> {
    let mut mappers = Vec::with_capacity(config.mappers.len());
    for (index, mapper) in config.mappers.iter().enumerate() {
        mappers.push(decode_mapper(mapper).at_index("mappers", index)?);
    }
    let body_format = config.body_format.as_ref().map(decode_format).transpose().at("body_format")?;
    Ok(LocalReplies { mappers, body_format })
}

fn decode_mapper(mapper: &ResponseMapper) -> Result<LocalReplyMapper> {
    let filter = mapper.filter.as_ref().ok_or_else(|| DecodeError::new("filter", "is missing"))?;
    let status = mapper.status_code.as_ref().map(|status| match u16::try_from(status.value) {
        Ok(status @ 200..=599) => Ok(status),
        _ => Err(DecodeError::new("status_code", "is not between 200 and 599")),
    });
    let format = mapper.body_format_override.as_ref().map(decode_format).transpose();
    let headers: HeaderOps = read_header_ops(&mapper.headers_to_add, &[])?;
    Ok(LocalReplyMapper {
        filter: decode_filter(filter).at("filter")?,
        status: status.transpose()?,
        body: mapper.body.as_ref().map(decode_text).transpose().at("body")?,
        body_format: format.at("body_format_override")?,
        headers,
    })
}

fn decode_text(source: &DataSource) -> Result<String> {
    let not_text = |_| DecodeError::new("inline_bytes", "is not UTF-8");
    match &source.specifier {
        Some(Specifier::InlineString(text)) => Ok(text.clone()),
        Some(Specifier::InlineBytes(bytes)) => String::from_utf8(bytes.clone()).map_err(not_text),
        _ => Err(DecodeError::new("", "only inline text is supported")),
    }
}

#[allow(deprecated, reason = "other control planes still write the older field")]
fn decode_format(format: &SubstitutionFormatString) -> Result<BodyFormat> {
    refuse!(format, formatters, json_format_options);
    Ok(BodyFormat {
        kind: match &format.format {
            Some(Format::JsonFormat(fields)) => BodyFormatKind::Json(decode_object(fields)),
            Some(Format::TextFormat(text)) => BodyFormatKind::Text(text.clone()),
            Some(Format::TextFormatSource(source)) => {
                BodyFormatKind::Text(decode_text(source).at("text_format_source")?)
            }
            None => return Err(DecodeError::new("format", "is missing")),
        },
        omit_empty: format.omit_empty_values,
        content_type: Some(format.content_type.clone()).filter(|kind| !kind.is_empty()),
    })
}
