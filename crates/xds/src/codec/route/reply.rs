use leno_ir::{DirectResponse, Flavor, PathMatch, Redirect, RedirectPath};
use leno_proto::envoy::config::core::v3::{DataSource, data_source::Specifier as DataSpecifier};
use leno_proto::envoy::config::route::v3::{DirectResponseAction, RedirectAction, redirect_action};

use super::rewrite::{self, prefix_substitution};
use crate::codec::common::read_visible;
use crate::codec::error::{At, DecodeError, Result};

pub(super) fn encode_direct(direct: &DirectResponse) -> DirectResponseAction {
    let body =
        DataSource { specifier: Some(DataSpecifier::InlineString(direct.body.clone())), ..DataSource::default() };
    DirectResponseAction {
        status: direct.status.into(),
        body: (!direct.body.is_empty()).then_some(body),
        ..DirectResponseAction::default()
    }
}

pub(super) fn encode_redirect(redirect: &Redirect, matched: &PathMatch, flavor: Flavor) -> RedirectAction {
    use redirect_action::{PathRewriteSpecifier, RedirectResponseCode as Code, SchemeRewriteSpecifier};
    RedirectAction {
        host_redirect: redirect.host.clone().unwrap_or_default(),
        port_redirect: redirect.port.unwrap_or_default().into(),
        response_code: match redirect.status {
            302 => Code::Found,
            303 => Code::SeeOther,
            307 => Code::TemporaryRedirect,
            308 => Code::PermanentRedirect,
            _ => Code::MovedPermanently,
        }
        .into(),
        strip_query: redirect.strip_query,
        scheme_rewrite_specifier: redirect.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
        path_rewrite_specifier: redirect.path.as_ref().map(|path| match path {
            RedirectPath::Full(path) => PathRewriteSpecifier::PathRedirect(path.clone()),
            RedirectPath::Prefix(prefix) => match prefix_substitution(prefix, matched, flavor) {
                Some(rewrite) => PathRewriteSpecifier::RegexRewrite(rewrite),
                None => PathRewriteSpecifier::PrefixRewrite(prefix.clone()),
            },
            RedirectPath::Regex { pattern, substitution } => {
                PathRewriteSpecifier::RegexRewrite(rewrite::substitution(pattern, substitution))
            }
        }),
    }
}

pub(super) fn decode_direct(direct: &DirectResponseAction) -> Result<DirectResponse> {
    let body = match direct.body.as_ref().and_then(|body| body.specifier.as_ref()) {
        None => String::new(),
        Some(DataSpecifier::InlineString(text)) => text.clone(),
        Some(DataSpecifier::InlineBytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        Some(_) => return Err(DecodeError::new("body", "only an inline body is supported")),
    };
    let status = u16::try_from(direct.status).ok().filter(|status| (200..600).contains(status));
    Ok(DirectResponse { status: status.ok_or_else(|| DecodeError::new("status", "is not from 200 to 599"))?, body })
}

pub(super) fn decode_redirect(redirect: &RedirectAction) -> Result<Redirect> {
    use redirect_action::{PathRewriteSpecifier, RedirectResponseCode as Code, SchemeRewriteSpecifier};
    let port = u16::try_from(redirect.port_redirect).map_err(|_| DecodeError::new("port_redirect", "is no port"))?;
    Ok(Redirect {
        scheme: redirect
            .scheme_rewrite_specifier
            .as_ref()
            .and_then(|scheme| match scheme {
                SchemeRewriteSpecifier::HttpsRedirect(https) => https.then(|| Ok("https".to_owned())),
                SchemeRewriteSpecifier::SchemeRedirect(scheme) => Some(read_visible(scheme, "scheme_redirect")),
            })
            .transpose()?,
        host: Some(read_visible(&redirect.host_redirect, "host_redirect")?).filter(|host| !host.is_empty()),
        port: (port != 0).then_some(port),
        path: match &redirect.path_rewrite_specifier {
            None => None,
            Some(PathRewriteSpecifier::PathRedirect(path)) => {
                Some(RedirectPath::Full(read_visible(path, "path_redirect")?))
            }
            Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
                Some(RedirectPath::Prefix(read_visible(prefix, "prefix_rewrite")?))
            }
            Some(PathRewriteSpecifier::RegexRewrite(rewrite)) => {
                let (pattern, substitution) = rewrite::decode_regex(rewrite).at("regex_rewrite")?;
                Some(RedirectPath::Regex { pattern, substitution })
            }
            Some(PathRewriteSpecifier::PathRewrite(_)) => return Err(DecodeError::unsupported("path_rewrite")),
        },
        status: match redirect.response_code() {
            Code::MovedPermanently => 301,
            Code::Found => 302,
            Code::SeeOther => 303,
            Code::TemporaryRedirect => 307,
            Code::PermanentRedirect => 308,
        },
        strip_query: redirect.strip_query,
    })
}
