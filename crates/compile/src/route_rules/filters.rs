//! What filters of a rule, or of one backend, do with a request.

use leno_ir::{
    CorsPolicy, FilterOverride, FilterOverrides, HeaderOps, Mirror, PathMatch, Rewrite, RouteFilterConfig, StringMatch,
};
use leno_model::Service;
use leno_model::api::{Filter, HttpCors, PathModifier, RequestRedirect, ResourceKey};
use leno_names::Fraction;

use super::rule::Rule;
use super::{Scope, backends};
use crate::{headers, route_filters, session};

#[derive(Clone, Debug, Default)]
pub(super) struct Effects {
    /// A filter that nothing here knows: the request fails, as the specification wants it.
    pub(super) is_unknown: bool,
    pub(super) redirect: Option<RequestRedirect>,
    pub(super) host_rewrite: Option<String>,
    pub(super) mirrors: Vec<Mirror>,
    pub(super) request: HeaderOps,
    pub(super) response: HeaderOps,
    pub(super) filters: FilterOverrides,
    path: Option<PathModifier>,
}

impl Effects {
    pub(super) fn of(scope: &mut Scope<'_>, route: &ResourceKey, rule: &Rule<'_>) -> Self {
        let mut effects = Self::of_filters(scope, route, rule.filters, &rule.at);
        if let Some(written) = rule.session {
            let (name, filter) = session::of(written, &rule.name);
            effects.filters.insert(name, filter);
            let at = format!("{}.sessionPersistence", rule.at);
            scope.problems.extend(session::problem(written, route, &at));
        }
        effects
    }

    /// With the session that a policy of the backend asks for.
    pub(super) fn with_session(mut self, service: &Service) -> Self {
        if let Some(written) = service.traffic.as_ref().and_then(|traffic| traffic.session.as_ref()) {
            let (name, filter) = session::of(written, &service.key.name);
            self.filters.insert(name, filter);
        }
        self
    }

    pub(super) fn of_filters(scope: &mut Scope<'_>, route: &ResourceKey, written: &[Filter], at: &str) -> Self {
        let mut effects = Self::default();
        for (index, filter) in written.iter().enumerate() {
            let at = format!("{at}.filters[{index}]");
            effects.add(scope, route, filter, &at);
        }
        effects
    }

    fn add(&mut self, scope: &mut Scope<'_>, route: &ResourceKey, filter: &Filter, at: &str) {
        filter.request_header_modifier.iter().for_each(|modifier| headers::gateway(modifier, &mut self.request));
        filter.response_header_modifier.iter().for_each(|modifier| headers::gateway(modifier, &mut self.response));
        if let Some(redirect) = &filter.request_redirect {
            self.redirect = Some(redirect.clone());
        }
        if let Some(rewrite) = &filter.url_rewrite {
            self.host_rewrite.clone_from(&rewrite.hostname);
            self.path.clone_from(&rewrite.path);
        }
        if let Some(mirror) = &filter.request_mirror {
            let share = mirror.fraction.as_ref().map(|fraction| {
                let whole = u64::from(fraction.denominator.unwrap_or(100).max(1));
                parts(u64::from(fraction.numerator), whole)
            });
            let share = share.or_else(|| mirror.percent.and_then(Fraction::from_percent)).unwrap_or(Fraction::ONE);
            let cluster =
                backends::cluster(scope, route, &mirror.backend_ref, &format!("{at}.requestMirror.backendRef"));
            self.mirrors.extend(cluster.map(|cluster| Mirror::new(cluster, share)));
        }
        if let Some(written) = &filter.cors {
            let config = RouteFilterConfig::Cors(cors(written));
            self.filters.insert(route_filters::CORS.to_owned(), FilterOverride::Config(config));
        }
        self.is_unknown |= filter.extension_ref.is_some() || filter.external_auth.is_some();
    }

    /// More than headers: such a backend needs a route of its own.
    pub(super) fn concerns_the_request(&self) -> bool {
        self.redirect.is_some()
            || self.host_rewrite.is_some()
            || self.path.is_some()
            || !self.mirrors.is_empty()
            || !self.filters.is_empty()
            || self.is_unknown
    }

    /// These, then those of a backend.
    pub(super) fn and(&self, backend: &Self) -> Self {
        let mut both = self.clone();
        both.is_unknown |= backend.is_unknown;
        both.redirect = backend.redirect.clone().or(both.redirect);
        both.host_rewrite = backend.host_rewrite.clone().or(both.host_rewrite);
        both.path = backend.path.clone().or(both.path);
        both.mirrors.extend(backend.mirrors.iter().cloned());
        both.filters.extend(backend.filters.clone());
        for (ops, more) in [(&mut both.request, &backend.request), (&mut both.response, &backend.response)] {
            ops.remove.extend(more.remove.iter().cloned());
            ops.add.extend(more.add.iter().cloned());
        }
        both
    }

    pub(super) fn rewrite(&self, matched: &PathMatch) -> Option<Rewrite> {
        let path = self.path.as_ref()?;
        let prefix = path.replace_prefix_match.as_deref().map(|new| Rewrite::Prefix(replacement(matched, new)));
        path.replace_full_path.clone().map(Rewrite::Path).or(prefix)
    }
}

/// What stands where the prefix stood. Nothing means `/`, and behind the prefix `/` the rest has no slash of its own.
pub(super) fn replacement(matched: &PathMatch, new: &str) -> String {
    let bare = new.is_empty() || matches!(matched, PathMatch::Prefix { .. }) && !new.ends_with('/');
    if bare { format!("{new}/") } else { new.to_owned() }
}

pub(super) fn parts(share: u64, whole: u64) -> Fraction {
    let parts = share.saturating_mul(1_000_000) / whole.max(1);
    u32::try_from(parts).ok().and_then(Fraction::from_parts_per_million).unwrap_or(Fraction::ONE)
}

fn cors(written: &HttpCors) -> CorsPolicy {
    CorsPolicy {
        allow_origins: written.allow_origins.iter().filter_map(|origin| self::origin(origin)).collect(),
        allow_methods: written.allow_methods.join(", "),
        allow_headers: written.allow_headers.join(", "),
        expose_headers: written.expose_headers.join(", "),
        max_age: written.max_age.unwrap_or(5).to_string(),
        allow_credentials: written.allow_credentials,
        forward_not_matching_preflights: Some(false),
        ..CorsPolicy::default()
    }
}

/// `*`, an origin, or one whose host begins with `*.`.
fn origin(text: &str) -> Option<StringMatch> {
    match text.split_once('*') {
        None => Some(StringMatch::exact(text)),
        // The filter takes what matches "*" for every origin; an empty prefix is none.
        Some(("", "")) => Some(StringMatch::exact("*")),
        Some((scheme, rest)) => {
            let quoted = |text: &str| text.replace('.', "\\.");
            let pattern = format!("{}.+{}", quoted(scheme), quoted(rest));
            leno_ir::Pattern::new(&pattern).ok().map(StringMatch::Regex)
        }
    }
}
