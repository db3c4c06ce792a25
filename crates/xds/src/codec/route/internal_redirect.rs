use leno_ir::{InternalRedirects, RedirectPredicate};
use leno_proto::envoy::config::core::v3::TypedExtensionConfig;
use leno_proto::envoy::config::route::v3::InternalRedirectPolicy as Proto;
use leno_proto::envoy::extensions::internal_redirect::allow_listed_routes::v3::AllowListedRoutesConfig;
use leno_proto::envoy::extensions::internal_redirect::previous_routes::v3::PreviousRoutesConfig;
use leno_proto::envoy::extensions::internal_redirect::safe_cross_scheme::v3::SafeCrossSchemeConfig;

use crate::codec::common::{any, is_type, u32_value, unpack};
use crate::codec::error::{At, DecodeError, Result};

const ALLOW_LISTED_ROUTES: &str = "envoy.extensions.internal_redirect.allow_listed_routes.v3.AllowListedRoutesConfig";
const PREVIOUS_ROUTES: &str = "envoy.extensions.internal_redirect.previous_routes.v3.PreviousRoutesConfig";
const SAFE_CROSS_SCHEME: &str = "envoy.extensions.internal_redirect.safe_cross_scheme.v3.SafeCrossSchemeConfig";

pub(super) fn encode(policy: &InternalRedirects) -> Proto {
    Proto {
        max_internal_redirects: u32_value(policy.max),
        redirect_response_codes: policy.statuses.iter().map(|status| (*status).into()).collect(),
        predicates: policy.predicates.iter().map(encode_predicate).collect(),
        allow_cross_scheme_redirect: policy.allow_cross_scheme,
        response_headers_to_copy: policy.response_headers_to_copy.clone(),
    }
}

fn encode_predicate(predicate: &RedirectPredicate) -> TypedExtensionConfig {
    let (name, config) = match predicate {
        RedirectPredicate::AllowListedRoutes(names) => (
            "allow_listed_routes",
            any(ALLOW_LISTED_ROUTES, &AllowListedRoutesConfig { allowed_route_names: names.clone() }),
        ),
        RedirectPredicate::PreviousRoutes => ("previous_routes", any(PREVIOUS_ROUTES, &PreviousRoutesConfig {})),
        RedirectPredicate::SafeCrossScheme => ("safe_cross_scheme", any(SAFE_CROSS_SCHEME, &SafeCrossSchemeConfig {})),
    };
    TypedExtensionConfig { name: format!("envoy.internal_redirect_predicates.{name}"), typed_config: Some(config) }
}

pub(super) fn decode(proto: &Proto) -> Result<InternalRedirects> {
    let default = InternalRedirects::default();
    let predicates = proto.predicates.iter().enumerate();
    let predicates = predicates.map(|(index, predicate)| decode_predicate(predicate).at_index("predicates", index));
    let copied: Vec<String> = proto.response_headers_to_copy.iter().map(|name| name.to_ascii_lowercase()).collect();
    if copied.iter().any(|name| name.starts_with(':') || name == "host") {
        return Err(DecodeError::new("response_headers_to_copy", "has a pseudo-header or host"));
    }
    Ok(InternalRedirects {
        max: proto.max_internal_redirects.as_ref().map_or(default.max, |max| max.value),
        statuses: match proto.redirect_response_codes.as_slice() {
            [] => default.statuses,
            // What no status can be means nothing, like the others that are no redirects.
            codes => codes.iter().map(|code| u16::try_from(*code).unwrap_or_default()).collect(),
        },
        predicates: predicates.collect::<Result<_>>()?,
        allow_cross_scheme: proto.allow_cross_scheme_redirect,
        response_headers_to_copy: copied,
    })
}

fn decode_predicate(predicate: &TypedExtensionConfig) -> Result<RedirectPredicate> {
    let config = predicate.typed_config.as_ref();
    if is_type(config, PREVIOUS_ROUTES) {
        return Ok(RedirectPredicate::PreviousRoutes);
    }
    if is_type(config, SAFE_CROSS_SCHEME) {
        return Ok(RedirectPredicate::SafeCrossScheme);
    }
    let allowed: AllowListedRoutesConfig = unpack(config, ALLOW_LISTED_ROUTES)?;
    Ok(RedirectPredicate::AllowListedRoutes(allowed.allowed_route_names))
}
