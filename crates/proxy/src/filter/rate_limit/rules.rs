//! Rules as the filter reads them: what is said to the service of one request.

use leno_ir::LimitOverride::{Fixed, Metadata as InMetadata};
use leno_ir::{HitsAddend, MetadataValue, RateLimitRule, RouteRateLimit, metadata_value};
use leno_telemetry::access_log::Program;

use super::message::{Descriptor, Entry, LimitOverride};
use crate::access_log::LineValues;
use crate::exchange::NoHeaders;
use crate::filter::RequestContext;
use crate::filter::descriptors::describe;
use crate::tls::noted;

/// More hits than that are none that Envoy would tell.
const MOST_HITS: u64 = 1_000_000_000;

/// What a part of a route table says about the filter.
#[derive(Debug)]
pub(crate) struct RouteLimit {
    pub(super) config: RouteRateLimit,
    pub(super) rules: OwnRules,
}

impl RouteLimit {
    pub(crate) fn new(config: &RouteRateLimit) -> Self {
        Self { rules: OwnRules::new(&config.rules), config: config.clone() }
    }
}

/// Rules that are not those of routes, with the operators that say how many hits a request counts as.
#[derive(Debug)]
pub(super) struct OwnRules(Vec<(RateLimitRule, Option<Program>)>);

impl OwnRules {
    /// What is not understood was refused before.
    pub(super) fn new(rules: &[RateLimitRule]) -> Self {
        let program =
            |rule: &RateLimitRule| rule.hits_format().and_then(|format| Program::text(format).ok()).map(noted);
        Self(rules.iter().map(|rule| (rule.clone(), program(rule))).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn descriptors(&self, cx: &RequestContext<'_>) -> Vec<Descriptor> {
        self.0.iter().filter_map(|(rule, program)| descriptor(rule, program.as_ref(), cx)).collect()
    }
}

/// `None`: the rule has nothing to say about this request.
pub(super) fn descriptor(
    rule: &RateLimitRule,
    program: Option<&Program>,
    cx: &RequestContext<'_>,
) -> Option<Descriptor> {
    let entries = describe(rule, cx)?.into_iter();
    Some(Descriptor {
        entries: entries.map(|(key, value)| Entry { key: key.into_owned(), value: value.into_owned() }).collect(),
        limit: limit(rule, cx),
        hits_addend: match (&rule.hits_addend, program) {
            (Some(HitsAddend::Number(number)), _) => Some(*number),
            // Without its number a rule says nothing, as in Envoy.
            (_, Some(program)) => Some(hits(program, cx)?),
            _ => None,
        },
    })
}

/// What is no such structure overrides nothing.
fn limit(rule: &RateLimitRule, cx: &RequestContext<'_>) -> Option<LimitOverride> {
    const UNITS: [&str; 8] = ["UNKNOWN", "SECOND", "MINUTE", "HOUR", "DAY", "MONTH", "YEAR", "WEEK"];
    let (namespace, path) = match rule.limit.as_ref()? {
        Fixed { requests_per_unit, unit } => {
            return Some(LimitOverride { requests_per_unit: *requests_per_unit, unit: *unit });
        }
        InMetadata { namespace, path } => (namespace, path),
    };
    let MetadataValue::Struct(fields) = metadata_value(&cx.exchange.metadata, namespace, path)? else { return None };
    let (MetadataValue::Number(requests), MetadataValue::String(unit)) =
        (fields.get("requests_per_unit")?, fields.get("unit")?)
    else {
        return None;
    };
    let unit = UNITS.iter().position(|known| known == unit)?;
    // What is below or above the range of the type becomes its end.
    Some(LimitOverride { requests_per_unit: *requests as u32, unit: i32::try_from(unit).ok()? })
}

/// What is no number is not told.
fn hits(program: &Program, cx: &RequestContext<'_>) -> Option<u64> {
    let mut text = Vec::new();
    let values =
        LineValues { exchange: cx.exchange, connection: cx.connection, request: &*cx.request, response: &NoHeaders };
    program.write_text(&values, &mut text);
    let number = std::str::from_utf8(&text).ok()?.trim().parse::<f64>().ok()?;
    (number >= 0.0 && number <= MOST_HITS as f64).then_some(number as u64)
}
