use regex::Regex;
use serde_json::{Map, Value};

use super::query::Query;

/// Which part of the configuration is to be shown.
///
/// Source: Envoy operations/admin, "GET /config_dump".
#[derive(Debug)]
pub(super) struct Wanted {
    resource: Option<String>,
    /// Paths of fields.
    mask: Vec<Vec<String>>,
    name: Option<Regex>,
}

/// Fields with one entry for each resource, the type of an entry, and where an entry has the name of its resource.
const FIELDS: [(&str, &str, &[&str]); 10] = [
    ("dynamic_active_clusters", "ClustersConfigDump.DynamicCluster", &["cluster", "name"]),
    ("dynamic_endpoint_configs", "EndpointsConfigDump.DynamicEndpointConfig", &["endpoint_config", "cluster_name"]),
    ("dynamic_listeners", "ListenersConfigDump.DynamicListener", &["name"]),
    ("dynamic_route_configs", "RoutesConfigDump.DynamicRouteConfig", &["route_config", "name"]),
    ("static_clusters", "ClustersConfigDump.StaticCluster", &["cluster", "name"]),
    ("static_endpoint_configs", "EndpointsConfigDump.StaticEndpointConfig", &["endpoint_config", "cluster_name"]),
    ("static_listeners", "ListenersConfigDump.StaticListener", &["listener", "name"]),
    ("static_route_configs", "RoutesConfigDump.StaticRouteConfig", &["route_config", "name"]),
    ("static_secrets", "SecretsConfigDump.StaticSecret", &["name"]),
    ("dynamic_active_secrets", "SecretsConfigDump.DynamicSecret", &["name"]),
];

impl Wanted {
    /// # Errors
    /// When the regular expression is none.
    pub(super) fn new(query: &Query) -> Result<Self, String> {
        let path = |path: &str| path.split('.').map(str::to_owned).collect();
        let mask = query.get("mask").unwrap_or_default().split(',').filter(|path| !path.is_empty());
        let name = query.get("name_regex").filter(|pattern| !pattern.is_empty()).map(|pattern| {
            let whole = format!("^(?:{pattern})$");
            Regex::new(&whole).map_err(|error| format!("Error while parsing name_regex from {pattern}: {error}"))
        });
        Ok(Self {
            resource: query.get("resource").map(str::to_owned),
            mask: mask.map(path).collect(),
            name: name.transpose()?,
        })
    }

    /// # Errors
    /// When there is no such resource.
    pub(super) fn of(&self, mut parts: Vec<Value>) -> Result<Vec<Value>, String> {
        for part in &mut parts {
            self.keep_named(part);
        }
        if let Some(resource) = &self.resource {
            let name = FIELDS.iter().find(|(field, ..)| field == resource).map(|(_, name, _)| *name);
            let found = parts.iter_mut().find_map(|part| part.get_mut(resource)).map(Value::take);
            let (Some(Value::Array(entries)), Some(name)) = (found, name) else {
                return Err(format!("{resource} not found in config dump"));
            };
            let start = ("@type".to_owned(), Value::from(format!("type.googleapis.com/envoy.admin.v3.{name}")));
            let typed = |entry: Value| match entry {
                Value::Object(fields) => Value::Object([start.clone()].into_iter().chain(fields).collect()),
                other => other,
            };
            parts = entries.into_iter().map(typed).collect();
        }
        if !self.mask.is_empty() {
            parts = parts
                .into_iter()
                .map(|part| masked(part, &self.mask.iter().map(Vec::as_slice).collect::<Vec<_>>()))
                .collect();
        }
        if self.resource.is_none() && !self.mask.is_empty() {
            // A part that the mask is not about is left out.
            parts.retain(|part| part.as_object().is_some_and(|fields| fields.len() > 1));
        }
        Ok(parts)
    }

    fn keep_named(&self, part: &mut Value) {
        let (Some(wanted), Some(fields)) = (&self.name, part.as_object_mut()) else { return };
        for (field, _, path) in FIELDS {
            let Some(Value::Array(entries)) = fields.get_mut(field) else { continue };
            entries.retain(|entry| {
                let name = path.iter().try_fold(entry, |value, step| value.get(step));
                name.and_then(Value::as_str).is_some_and(|name| wanted.is_match(name))
            });
            if entries.is_empty() {
                fields.remove(field);
            }
        }
    }
}

/// What the paths lead to, and the types of messages. A path does not go into lists, as in Envoy.
fn masked(value: Value, paths: &[&[String]]) -> Value {
    let Value::Object(fields) = value else { return value };
    let kept = fields.into_iter().filter_map(|(name, value)| {
        if name == "@type" {
            return Some((name, value));
        }
        let rest: Vec<&[String]> =
            paths.iter().filter(|path| path.first() == Some(&name)).map(|path| &path[1..]).collect();
        if rest.is_empty() {
            return None;
        }
        let is_whole = rest.iter().any(|rest| rest.is_empty());
        Some((name, if is_whole { value } else { masked(value, &rest) }))
    });
    Value::Object(kept.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(query: &str) -> Result<Vec<Value>, String> {
        let parts = vec![
            json!({ "@type": "b", "bootstrap": { "node": { "id": "i", "cluster": "c" } } }),
            json!({ "@type": "c", "static_clusters": [{ "cluster": { "name": "one" }, "last_updated": "t" }, { "cluster": { "name": "two" } }] }),
        ];
        Wanted::new(&Query::new(query)).expect("a query").of(parts)
    }

    #[test]
    fn a_part_can_be_asked_for() {
        let one = json!({
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster",
            "cluster": { "name": "one" },
        });
        assert_eq!(shown("resource=static_clusters&name_regex=o.e&mask=cluster"), Ok(vec![one]));
        assert_eq!(
            shown("mask=bootstrap.node.id"),
            Ok(vec![json!({ "@type": "b", "bootstrap": { "node": { "id": "i" } } })])
        );
        assert_eq!(shown("resource=nothing"), Err("nothing not found in config dump".to_owned()));
        assert!(Wanted::new(&Query::new("name_regex=(")).is_err());
    }
}
