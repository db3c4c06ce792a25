//! In which form somebody wants to read objects.
//!
//! Source      Kubernetes "API Concepts": alternate representations by parameters of the media type

use axum::http::{HeaderMap, header};

use crate::ApiError;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Names, labels and the like.
    Metadata,
    Object,
    Table,
}

/// The first that can be had; objects for those who do not say.
///
/// # Errors
/// Nothing of it can be had.
pub(crate) fn form(headers: &HeaderMap) -> Result<Form, ApiError> {
    let Some(accept) = headers.get(header::ACCEPT) else { return Ok(Form::Object) };
    let accept = accept.to_str().unwrap_or_default();
    let found = ranges(accept).find_map(|(media_type, parameters)| {
        let parameter = |name: &str| parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        if !is_json(media_type) {
            return None;
        }
        match parameter("as") {
            Some("Table") if parameter("v") == Some("v1") => Some(Form::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") if parameter("v") == Some("v1") => {
                Some(Form::Metadata)
            }
            Some(_) => None,
            None => Some(Form::Object),
        }
    });
    found.ok_or_else(|| ApiError::new(406, "NotAcceptable", "only application/json can be had here"))
}

/// Whether `accept` asks for all groups in one document (`apidiscovery.k8s.io/v2`); the media type of the answer.
pub(crate) fn aggregated(headers: &HeaderMap) -> Option<&'static str> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    let wanted = ranges(accept).find_map(|(media_type, parameters)| {
        let is = |name: &str, wanted: &str| parameters.iter().any(|(known, value)| *known == name && *value == wanted);
        let aggregated = is("g", "apidiscovery.k8s.io") && is("v", "v2") && is("as", "APIGroupDiscoveryList");
        (is_json(media_type) && (aggregated || parameters.iter().all(|(name, _)| *name == "q"))).then_some(aggregated)
    });
    wanted.unwrap_or_default().then_some("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
}

fn is_json(media_type: &str) -> bool {
    matches!(media_type, "application/json" | "application/*" | "*/*")
}

fn ranges(accept: &str) -> impl Iterator<Item = (&str, Vec<(&str, &str)>)> {
    accept.split(',').map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        (media_type, parts.filter_map(|part| part.split_once('=')).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn the_first_form_that_can_be_had_is_taken() {
        for (accept, wanted) in [
            ("application/json", Ok(Form::Object)),
            ("*/*", Ok(Form::Object)),
            ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Ok(Form::Table)),
            ("application/json;as=Table;v=v9;g=meta.k8s.io, application/json", Ok(Form::Object)),
            (
                "application/vnd.kubernetes.protobuf, application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Ok(Form::Metadata),
            ),
            ("application/vnd.kubernetes.protobuf", Err(406)),
        ] {
            assert_eq!(form(&headers(accept)).map_err(|error| error.code), wanted, "{accept}");
        }
        assert_eq!(form(&HeaderMap::new()), Ok(Form::Object));
    }

    #[test]
    fn all_groups_at_once_are_for_those_who_ask() {
        let wanted = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        assert!(aggregated(&headers(&format!("{wanted},application/json"))).is_some());
        assert!(aggregated(&headers("application/json")).is_none());
        assert!(aggregated(&HeaderMap::new()).is_none());
    }
}
