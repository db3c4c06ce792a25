//! Puts what headers and cookies say into metadata (Envoy's HTTP filter `header_to_metadata`).
//!
//! Shape       `MetadataRules` (the filter's, or a route's) -> n rules, each a source and what to do with or without it
//! Errors      a value that is not what it is taken for, or too long, is left out
//! Cost        a rule: one look-up, and what the value that is kept needs
//! Source      Envoy header_to_metadata filter v1.40

mod value;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use leno_ir::{
    HeaderMetadata, HeaderMetadataKind, HeaderMetadataValue, HeaderToMetadata as Config, HeaderToMetadataRule,
    Metadata, MetadataSourceField, MetadataValue,
};
use leno_routing::{HeaderView as _, Substitution};

use super::overrides::RouteFilter;
use super::{Place, RequestContext, ResponseContext, RouteRef, Step};
use crate::http::{Headers, RequestHead, ResponseHead};
use crate::stats::{Counter, WorkerStats};

/// With padding or without.
const BASE64: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is configured in one place.
#[derive(Debug)]
pub(crate) struct MetadataRules {
    request: Vec<Rule>,
    response: Vec<Rule>,
    stat_prefix: String,
}

#[derive(Debug)]
struct Rule {
    config: HeaderToMetadataRule,
    rewrite: Option<Substitution>,
}

/// The filter as configured.
#[derive(Debug)]
pub(crate) struct HeaderToMetadata {
    own: Arc<MetadataRules>,
    /// By prefix.
    counters: RefCell<HashMap<String, Rc<Counters>>>,
}

#[derive(Debug)]
struct Counters {
    request: DirectionCounters,
    response: DirectionCounters,
    base64_decode_failed: Counter,
    header_value_too_long: Counter,
    regex_substitution_failed: Counter,
}

#[derive(Debug)]
struct DirectionCounters {
    rules_processed: Counter,
    metadata_added: Counter,
    header_not_found: Counter,
}

/// The filter at work on one exchange.
#[derive(Debug)]
pub(crate) struct ActiveHeaderToMetadata {
    filter: Rc<HeaderToMetadata>,
    /// Those of the route when the request came, which stay.
    rules: Option<Arc<MetadataRules>>,
}

impl MetadataRules {
    pub(crate) fn new(config: &Config) -> Self {
        let rule = |rule: &HeaderToMetadataRule| {
            let rewrite = match rule.present.as_ref().map(|present| &present.value) {
                Some(HeaderMetadataValue::Rewritten { pattern, substitution }) => {
                    Substitution::new(pattern, substitution)
                }
                _ => None,
            };
            Rule { rewrite, config: rule.clone() }
        };
        Self {
            request: config.request_rules.iter().map(rule).collect(),
            response: config.response_rules.iter().map(rule).collect(),
            stat_prefix: config.stat_prefix.clone(),
        }
    }
}

impl HeaderToMetadata {
    pub(super) fn new(config: &Config, _place: Place<'_>) -> Self {
        Self { own: Arc::new(MetadataRules::new(config)), counters: RefCell::default() }
    }

    /// `None`: nothing is counted.
    fn counters(&self, stat_prefix: &str, stats: &WorkerStats) -> Option<Rc<Counters>> {
        if stat_prefix.is_empty() {
            return None;
        }
        let mut all = self.counters.borrow_mut();
        if let Some(counters) = all.get(stat_prefix) {
            return Some(counters.clone());
        }
        let counters = Rc::new(Counters::new(stat_prefix, stats));
        all.insert(stat_prefix.to_owned(), counters.clone());
        Some(counters)
    }
}

impl Counters {
    fn new(stat_prefix: &str, stats: &WorkerStats) -> Self {
        let counter = |what: &str| stats.filter_counter(format!("http_filter_name.{stat_prefix}.{what}"));
        let direction = |name: &str| DirectionCounters {
            rules_processed: counter(&format!("{name}_rules_processed")),
            metadata_added: counter(&format!("{name}_metadata_added")),
            header_not_found: counter(&format!("{name}_header_not_found")),
        };
        Self {
            request: direction("request"),
            response: direction("response"),
            base64_decode_failed: counter("base64_decode_failed"),
            header_value_too_long: counter("header_value_too_long"),
            regex_substitution_failed: counter("regex_substitution_failed"),
        }
    }
}

impl ActiveHeaderToMetadata {
    pub(super) fn new(filter: Rc<HeaderToMetadata>) -> Self {
        Self { filter, rules: None }
    }

    pub(super) fn on_request(&mut self, cx: &mut RequestContext<'_>) -> Step {
        let rules = self.rules(cx.name, cx.route);
        if !rules.request.is_empty() {
            let counters = self.filter.counters(&rules.stat_prefix, &cx.worker.stats);
            let counting = counters.as_deref().map(|counters| (&counters.request, counters));
            Run { head: cx.request, counting }.apply(&rules.request, &mut cx.exchange.metadata);
        }
        Step::Continue
    }

    pub(super) fn on_response(&mut self, cx: &mut ResponseContext<'_>) {
        let rules = self.rules(cx.name, cx.route);
        if !rules.response.is_empty() {
            let counters = self.filter.counters(&rules.stat_prefix, &cx.worker.stats);
            let counting = counters.as_deref().map(|counters| (&counters.response, counters));
            Run { head: cx.response, counting }.apply(&rules.response, &mut cx.exchange.metadata);
        }
    }

    fn rules(&mut self, name: &str, route: Option<&RouteRef>) -> Arc<MetadataRules> {
        let of_route = || {
            route?.configs(name).find_map(|config| match config {
                RouteFilter::HeaderToMetadata(rules) => Some(rules.clone()),
                _ => None,
            })
        };
        let own = &self.filter.own;
        self.rules.get_or_insert_with(|| of_route().unwrap_or_else(|| own.clone())).clone()
    }
}

/// The rules of one direction at work.
struct Run<'a, H> {
    head: &'a mut H,
    counting: Option<(&'a DirectionCounters, &'a Counters)>,
}

impl<H: Head> Run<'_, H> {
    fn apply(&mut self, rules: &[Rule], metadata: &mut Metadata) {
        let mut found: Vec<(&HeaderMetadata, MetadataValue)> = Vec::new();
        for rule in rules {
            let field = take_field(&rule.config.source, self.head);
            self.count(|direction, _| &direction.rules_processed);
            let wanted = match &field {
                Some(_) => rule.config.present.as_ref(),
                None => rule.config.missing.as_ref(),
            };
            let Some(wanted) = wanted else { continue };
            if field.is_none() {
                self.count(|direction, _| &direction.header_not_found);
            }
            if let Some(value) = self.value(rule, wanted, field.unwrap_or_default()) {
                self.count(|direction, _| &direction.metadata_added);
                found.push((wanted, value));
            }
        }
        for (wanted, value) in found {
            let fields = match metadata.get_mut(&wanted.namespace) {
                Some(fields) => fields,
                None => metadata.entry(wanted.namespace.clone()).or_default(),
            };
            fields.insert(wanted.key.clone(), value);
        }
    }

    fn value(&self, rule: &Rule, wanted: &HeaderMetadata, field: Vec<u8>) -> Option<MetadataValue> {
        let bytes: Cow<'_, [u8]> = match (&wanted.value, &rule.rewrite) {
            (HeaderMetadataValue::Literal(text), _) => Cow::Borrowed(text.as_bytes()),
            (HeaderMetadataValue::Rewritten { .. }, Some(rewrite)) => {
                let text = String::from_utf8_lossy(&field);
                let rewritten = rewrite.apply(&text).into_owned().into_bytes();
                if rewritten.is_empty() && !field.is_empty() {
                    self.count(|_, counters| &counters.regex_substitution_failed);
                }
                Cow::Owned(rewritten)
            }
            _ => Cow::Owned(field),
        };
        if bytes.is_empty() {
            return None;
        }
        if bytes.len() >= Config::MAX_VALUE_BYTES {
            self.count(|_, counters| &counters.header_value_too_long);
            return None;
        }
        let bytes = if wanted.is_base64 {
            let Some(decoded) = BASE64.decode(&bytes).ok().filter(|decoded| !decoded.is_empty()) else {
                self.count(|_, counters| &counters.base64_decode_failed);
                return None;
            };
            Cow::Owned(decoded)
        } else {
            bytes
        };
        match wanted.kind {
            HeaderMetadataKind::Number => {
                let text = std::str::from_utf8(&bytes).ok()?;
                text.trim_ascii().parse().ok().map(MetadataValue::Number)
            }
            HeaderMetadataKind::Protobuf => value::decode(&bytes),
            HeaderMetadataKind::String => Some(MetadataValue::String(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    fn count<'c>(&'c self, of: impl Fn(&'c DirectionCounters, &'c Counters) -> &'c Counter) {
        if let Some((direction, counters)) = self.counting {
            of(direction, counters).increment();
        }
    }
}

/// A head whose fields can be taken.
trait Head {
    fn pseudo(&self, name: &str) -> Option<Cow<'_, str>>;
    fn lines(&mut self) -> &mut Headers;
}

impl Head for RequestHead {
    fn pseudo(&self, name: &str) -> Option<Cow<'_, str>> {
        self.pseudo_header(name).map(Cow::Borrowed)
    }

    fn lines(&mut self) -> &mut Headers {
        &mut self.headers
    }
}

impl Head for ResponseHead {
    fn pseudo(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == ":status").then(|| Cow::Owned(self.status.to_string()))
    }

    fn lines(&mut self) -> &mut Headers {
        &mut self.headers
    }
}

/// `None`: it is not there.
fn take_field(source: &MetadataSourceField, head: &mut impl Head) -> Option<Vec<u8>> {
    match source {
        MetadataSourceField::Cookie(name) => {
            let value = leno_routing::cookie(head.lines().get_all("cookie"), name);
            value.filter(|value| !value.is_empty()).map(<[u8]>::to_vec)
        }
        MetadataSourceField::Header { name, .. } if name.starts_with(':') || name == "host" => {
            head.pseudo(name).map(|value| value.into_owned().into_bytes())
        }
        MetadataSourceField::Header { name, remove } => {
            let headers = head.lines();
            let mut lines = headers.get_all(name);
            let mut value = lines.next()?.to_vec();
            for line in lines {
                value.push(b',');
                value.extend_from_slice(line);
            }
            if *remove {
                headers.remove(name);
            }
            Some(value)
        }
    }
}
