use leno_ir::{AccessLogFilter, Comparison, ComparisonOp};
use leno_proto::envoy::config::accesslog::v3::{
    AccessLogFilter as Proto, AndFilter, ComparisonFilter, DurationFilter, GrpcStatusFilter, HeaderFilter,
    MetadataFilter, NotHealthCheckFilter, OrFilter, ResponseFlagFilter, RuntimeFilter, StatusCodeFilter,
    access_log_filter::FilterSpecifier, comparison_filter::Op,
};
use leno_proto::envoy::config::core::v3::RuntimeUInt32;

use crate::codec::common::{bool_value, fraction, read_fraction};
use crate::codec::error::{At, DecodeError, Result};
use crate::codec::metadata;
use crate::codec::route::matches::{decode_header, encode_header};

/// Envoy wants a runtime key; Leno has no runtime, so it never differs from the default.
const RUNTIME_KEY: &str = "access_log";

pub(super) fn encode_filter(filter: &AccessLogFilter) -> Proto {
    let specifier = match filter {
        AccessLogFilter::All(filters) => {
            FilterSpecifier::AndFilter(AndFilter { filters: filters.iter().map(encode_filter).collect() })
        }
        AccessLogFilter::Any(filters) => {
            FilterSpecifier::OrFilter(OrFilter { filters: filters.iter().map(encode_filter).collect() })
        }
        AccessLogFilter::Duration(of) => {
            FilterSpecifier::DurationFilter(DurationFilter { comparison: Some(encode_comparison(*of)) })
        }
        AccessLogFilter::GrpcStatus { codes, exclude } => FilterSpecifier::GrpcStatusFilter(GrpcStatusFilter {
            statuses: codes.iter().filter_map(|code| i32::try_from(*code).ok()).collect(),
            exclude: *exclude,
        }),
        AccessLogFilter::Header(header) => {
            FilterSpecifier::HeaderFilter(HeaderFilter { header: Some(encode_header(header)) })
        }
        AccessLogFilter::Metadata { matcher, default } => FilterSpecifier::MetadataFilter(MetadataFilter {
            matcher: matcher.as_ref().map(metadata::encode_match),
            match_if_key_not_found: bool_value(*default),
        }),
        AccessLogFilter::NotHealthCheck => FilterSpecifier::NotHealthCheckFilter(NotHealthCheckFilter {}),
        AccessLogFilter::ResponseFlag(flags) => {
            FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter { flags: flags.clone() })
        }
        AccessLogFilter::Share(share) => FilterSpecifier::RuntimeFilter(RuntimeFilter {
            runtime_key: RUNTIME_KEY.to_owned(),
            percent_sampled: Some(fraction(*share)),
            use_independent_randomness: true,
        }),
        AccessLogFilter::StatusCode(of) => {
            FilterSpecifier::StatusCodeFilter(StatusCodeFilter { comparison: Some(encode_comparison(*of)) })
        }
    };
    Proto { filter_specifier: Some(specifier) }
}

fn encode_comparison(comparison: Comparison) -> ComparisonFilter {
    let op = match comparison.op {
        ComparisonOp::AtLeast => Op::Ge,
        ComparisonOp::AtMost => Op::Le,
        ComparisonOp::Equal => Op::Eq,
        ComparisonOp::NotEqual => Op::Ne,
    };
    let value = RuntimeUInt32 { default_value: comparison.value, runtime_key: RUNTIME_KEY.to_owned() };
    ComparisonFilter { op: op.into(), value: Some(value) }
}

pub(super) fn decode_filter(filter: &Proto) -> Result<AccessLogFilter> {
    let all = |filters: &[Proto]| filters.iter().map(decode_filter).collect::<Result<Vec<_>>>();
    Ok(match filter.filter_specifier.as_ref().ok_or_else(|| DecodeError::new("filter_specifier", "is missing"))? {
        FilterSpecifier::AndFilter(and) => AccessLogFilter::All(all(&and.filters).at("and_filter")?),
        FilterSpecifier::OrFilter(or) => AccessLogFilter::Any(all(&or.filters).at("or_filter")?),
        FilterSpecifier::DurationFilter(of) => {
            AccessLogFilter::Duration(decode_comparison(of.comparison.as_ref()).at("duration_filter")?)
        }
        FilterSpecifier::GrpcStatusFilter(of) => AccessLogFilter::GrpcStatus {
            codes: of.statuses.iter().filter_map(|status| u32::try_from(*status).ok()).collect(),
            exclude: of.exclude,
        },
        FilterSpecifier::HeaderFilter(of) => {
            let header =
                of.header.as_ref().ok_or_else(|| DecodeError::new("header", "is missing")).at("header_filter")?;
            AccessLogFilter::Header(decode_header(header).at("header_filter.header")?)
        }
        FilterSpecifier::MetadataFilter(of) => AccessLogFilter::Metadata {
            matcher: of.matcher.as_ref().map(metadata::decode_match).transpose().at("metadata_filter.matcher")?,
            default: of.match_if_key_not_found.as_ref().is_none_or(|default| default.value),
        },
        FilterSpecifier::NotHealthCheckFilter(_) => AccessLogFilter::NotHealthCheck,
        FilterSpecifier::ResponseFlagFilter(of) => AccessLogFilter::ResponseFlag(of.flags.clone()),
        FilterSpecifier::RuntimeFilter(of) => {
            let share =
                of.percent_sampled.as_ref().map(read_fraction).transpose().at("runtime_filter.percent_sampled")?;
            AccessLogFilter::Share(share.unwrap_or(leno_names::Fraction::ZERO))
        }
        FilterSpecifier::StatusCodeFilter(of) => {
            AccessLogFilter::StatusCode(decode_comparison(of.comparison.as_ref()).at("status_code_filter")?)
        }
        FilterSpecifier::TraceableFilter(_) => return Err(DecodeError::unsupported("traceable_filter")),
        FilterSpecifier::ExtensionFilter(_) => return Err(DecodeError::unsupported("extension_filter")),
        FilterSpecifier::LogTypeFilter(_) => return Err(DecodeError::unsupported("log_type_filter")),
    })
}

fn decode_comparison(comparison: Option<&ComparisonFilter>) -> Result<Comparison> {
    let comparison = comparison.ok_or_else(|| DecodeError::new("comparison", "is missing"))?;
    let op = match comparison.op() {
        Op::Ge => ComparisonOp::AtLeast,
        Op::Le => ComparisonOp::AtMost,
        Op::Eq => ComparisonOp::Equal,
        Op::Ne => ComparisonOp::NotEqual,
    };
    Ok(Comparison { op, value: comparison.value.as_ref().map_or(0, |value| value.default_value) })
}
