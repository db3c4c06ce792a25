//! Scoped routes, both ways: inside a connection manager, and as resources of their own (SRDS).
//!
//! Errors      keys without parts, an element that cannot be there, scopes on demand; two scopes with one name or key
//! Source      Envoy http_connection_manager.proto, scoped_route.proto, 1.40

use std::sync::Arc;

use leno_ir::{Flavor, Scope, ScopeElement, ScopeKeyPart, ScopeRoutes, ScopeSource, ScopedRoutes};
use leno_proto::envoy::config::route::v3::{
    ScopedRouteConfiguration,
    scoped_route_configuration::{
        Key,
        key::{Fragment, fragment},
    },
};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::{
    ScopedRds, ScopedRouteConfigurationsList, ScopedRoutes as Proto,
    scoped_routes::{
        ConfigSpecifier, ScopeKeyBuilder,
        scope_key_builder::{
            FragmentBuilder,
            fragment_builder::{
                HeaderValueExtractor, Type,
                header_value_extractor::{ExtractType, KvElement},
            },
        },
    },
};

use super::common::ads;
use super::error::{At, DecodeError, Result, refuse};
use super::route;

pub(super) fn encode(routes: &ScopedRoutes, flavor: Flavor) -> Proto {
    Proto {
        name: routes.name.clone(),
        scope_key_builder: Some(ScopeKeyBuilder { fragments: routes.key.iter().map(encode_part).collect() }),
        rds_config_source: ads().filter(|_| routes.scopes == ScopeSource::Srds),
        config_specifier: Some(match &routes.scopes {
            ScopeSource::Inline(scopes) => {
                ConfigSpecifier::ScopedRouteConfigurationsList(ScopedRouteConfigurationsList {
                    scoped_route_configurations: scopes.iter().map(|scope| encode_scope(scope, flavor)).collect(),
                })
            }
            ScopeSource::Srds => {
                ConfigSpecifier::ScopedRds(ScopedRds { scoped_rds_config_source: ads(), ..ScopedRds::default() })
            }
        }),
    }
}

fn encode_part(part: &ScopeKeyPart) -> FragmentBuilder {
    let extract = match &part.element {
        ScopeElement::At(index) => ExtractType::Index(*index),
        ScopeElement::Of { key, separator } => {
            ExtractType::Element(KvElement { separator: separator.clone(), key: key.clone() })
        }
    };
    let extractor = HeaderValueExtractor {
        name: part.header.clone(),
        element_separator: part.separator.clone(),
        extract_type: Some(extract),
    };
    FragmentBuilder { r#type: Some(Type::HeaderValueExtractor(extractor)) }
}

pub(super) fn encode_scope(scope: &Scope, flavor: Flavor) -> ScopedRouteConfiguration {
    let fragment = |text: &String| Fragment { r#type: Some(fragment::Type::StringKey(text.clone())) };
    let (name, table) = match &scope.routes {
        ScopeRoutes::Inline(table) => (String::new(), Some(route::encode(table, flavor))),
        ScopeRoutes::Rds(name) => (name.clone(), None),
    };
    ScopedRouteConfiguration {
        on_demand: false,
        name: scope.name.clone(),
        route_configuration_name: name,
        route_configuration: table,
        key: Some(Key { fragments: scope.key.iter().map(fragment).collect() }),
    }
}

pub(super) fn decode(proto: &Proto) -> Result<ScopedRoutes> {
    if proto.name.is_empty() {
        return Err(DecodeError::new("name", "is missing"));
    }
    let builder = proto.scope_key_builder.as_ref().map(|builder| builder.fragments.as_slice()).unwrap_or_default();
    if builder.is_empty() {
        return Err(DecodeError::new("scope_key_builder.fragments", "is empty"));
    }
    let mut key = Vec::with_capacity(builder.len());
    for (index, fragment) in builder.iter().enumerate() {
        key.push(decode_part(fragment).at_index("fragments", index).at("scope_key_builder")?);
    }
    let scopes = match &proto.config_specifier {
        None => return Err(DecodeError::new("config_specifier", "is missing")),
        Some(ConfigSpecifier::ScopedRds(rds)) => {
            refuse!(rds, srds_resources_locator);
            ScopeSource::Srds
        }
        Some(ConfigSpecifier::ScopedRouteConfigurationsList(list)) => {
            ScopeSource::Inline(decode_list(list).at("scoped_route_configurations_list")?)
        }
    };
    Ok(ScopedRoutes { name: proto.name.clone(), key, scopes })
}

fn decode_list(list: &ScopedRouteConfigurationsList) -> Result<Vec<Scope>> {
    if list.scoped_route_configurations.is_empty() {
        return Err(DecodeError::new("scoped_route_configurations", "is empty"));
    }
    let mut scopes: Vec<Scope> = Vec::with_capacity(list.scoped_route_configurations.len());
    for (index, scope) in list.scoped_route_configurations.iter().enumerate() {
        let scope = decode_scope(scope).and_then(|scope| {
            let same = |field, what: String| Err(DecodeError::new(field, format!("is that of the scope {what}, too")));
            if scope.route_table_name().is_some() {
                // Nor has Envoy them.
                return Err(DecodeError::new("route_configuration_name", "is only for scopes by discovery"));
            }
            match scopes.iter().find(|known| known.name == scope.name || known.key == scope.key) {
                Some(known) if known.name == scope.name => same("name", known.name.clone()),
                Some(known) => same("key", known.name.clone()),
                None => Ok(scope),
            }
        });
        scopes.push(scope.at_index("scoped_route_configurations", index)?);
    }
    Ok(scopes)
}

fn decode_part(fragment: &FragmentBuilder) -> Result<ScopeKeyPart> {
    let Some(Type::HeaderValueExtractor(extractor)) = &fragment.r#type else {
        return Err(DecodeError::new("header_value_extractor", "is missing"));
    };
    decode_extractor(extractor).at("header_value_extractor")
}

fn decode_extractor(extractor: &HeaderValueExtractor) -> Result<ScopeKeyPart> {
    if extractor.name.is_empty() {
        return Err(DecodeError::new("name", "is missing"));
    }
    let element = match &extractor.extract_type {
        None => return Err(DecodeError::new("extract_type", "is missing")),
        Some(ExtractType::Index(index)) if *index > 0 && extractor.element_separator.is_empty() => {
            return Err(DecodeError::new("index", "must be 0 where nothing separates elements"));
        }
        Some(ExtractType::Index(index)) => ScopeElement::At(*index),
        Some(ExtractType::Element(element)) if element.key.is_empty() || element.separator.is_empty() => {
            return Err(DecodeError::new("element", "needs a key and a separator"));
        }
        Some(ExtractType::Element(element)) => {
            ScopeElement::Of { key: element.key.clone(), separator: element.separator.clone() }
        }
    };
    let separator = extractor.element_separator.clone();
    Ok(ScopeKeyPart { header: extractor.name.to_ascii_lowercase(), separator, element })
}

pub(super) fn decode_scope(proto: &ScopedRouteConfiguration) -> Result<Scope> {
    refuse!(proto, on_demand);
    if proto.name.is_empty() {
        return Err(DecodeError::new("name", "is missing"));
    }
    let fragments = proto.key.as_ref().map(|key| key.fragments.as_slice()).unwrap_or_default();
    if fragments.is_empty() {
        return Err(DecodeError::new("key.fragments", "is empty"));
    }
    let mut key = Vec::with_capacity(fragments.len());
    for (index, fragment) in fragments.iter().enumerate() {
        match &fragment.r#type {
            Some(fragment::Type::StringKey(text)) => key.push(text.clone()),
            None => return Err(DecodeError::new("string_key", "is missing")).at_index("fragments", index).at("key"),
        }
    }
    let routes = match (&proto.route_configuration, proto.route_configuration_name.as_str()) {
        (None, "") => return Err(DecodeError::new("route_configuration_name", "is missing")),
        (None, name) => ScopeRoutes::Rds(name.to_owned()),
        (Some(table), "") => ScopeRoutes::Inline(Arc::new(route::decode(table).at("route_configuration")?)),
        (Some(_), _) => {
            return Err(DecodeError::new("route_configuration_name", "cannot be set beside route_configuration"));
        }
    };
    Ok(Scope { name: proto.name.clone(), key, routes })
}
