//! Protocols that a connection may switch to, and `CONNECT`.

use leno_ir::{ConnectUpstream, Flavor, RouteUpgrade, Upgrade, UpgradeFilters};
use leno_proto::envoy::config::route::v3::route_action::{UpgradeConfig as ProtoRoute, upgrade_config::ConnectConfig};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::UpgradeConfig;
use leno_proto::google::protobuf::BoolValue;

use crate::codec::error::{At, DecodeError, Result};
use crate::codec::{filter, proxy_protocol, router};

fn switch(is_enabled: bool) -> Option<BoolValue> {
    (!is_enabled).then_some(BoolValue { value: false })
}

fn is_on(switch: Option<&BoolValue>) -> bool {
    switch.is_none_or(|switch| switch.value)
}

pub(super) fn encode(upgrades: &[Upgrade], flavor: Flavor) -> Vec<UpgradeConfig> {
    let filters = |own: &UpgradeFilters| filter::encode(&own.filters, &own.router, flavor);
    let one = |upgrade: &Upgrade| UpgradeConfig {
        upgrade_type: upgrade.protocol.clone(),
        enabled: switch(upgrade.is_enabled),
        filters: upgrade.filters.as_ref().map(filters).unwrap_or_default(),
    };
    upgrades.iter().map(one).collect()
}

pub(super) fn decode(upgrades: &[UpgradeConfig]) -> Result<Vec<Upgrade>> {
    let mut decoded: Vec<Upgrade> = Vec::with_capacity(upgrades.len());
    for (index, upgrade) in upgrades.iter().enumerate() {
        let protocol = upgrade.upgrade_type.to_ascii_lowercase();
        if decoded.iter().any(|other| other.protocol == protocol) {
            return Err(DecodeError::new("upgrade_configs", format!("{protocol} stands there twice")));
        }
        let filters = decode_filters(upgrade).at_index("upgrade_configs", index)?;
        decoded.push(Upgrade { protocol, is_enabled: is_on(upgrade.enabled.as_ref()), filters });
    }
    Ok(decoded)
}

fn decode_filters(upgrade: &UpgradeConfig) -> Result<Option<UpgradeFilters>> {
    if upgrade.filters.is_empty() {
        return Ok(None);
    }
    let filters = filter::decode("filters", &upgrade.filters)?;
    Ok(Some(UpgradeFilters { filters, router: router::decode("filters", &upgrade.filters)? }))
}

pub(in crate::codec) fn encode_route(upgrades: &[RouteUpgrade]) -> Vec<ProtoRoute> {
    let connect = |connect: &ConnectUpstream| ConnectConfig {
        proxy_protocol_config: connect.proxy_protocol.map(proxy_protocol::encode_config),
        allow_post: connect.allow_post,
    };
    let one = |upgrade: &RouteUpgrade| ProtoRoute {
        upgrade_type: upgrade.protocol.clone(),
        enabled: switch(upgrade.is_enabled),
        connect_config: upgrade.connect.as_ref().map(connect),
    };
    upgrades.iter().map(one).collect()
}

pub(in crate::codec) fn decode_route(upgrades: &[ProtoRoute]) -> Result<Vec<RouteUpgrade>> {
    let mut decoded: Vec<RouteUpgrade> = Vec::with_capacity(upgrades.len());
    for (index, upgrade) in upgrades.iter().enumerate() {
        let protocol = upgrade.upgrade_type.to_ascii_lowercase();
        if decoded.iter().any(|other| other.protocol == protocol) {
            return Err(DecodeError::new("upgrade_configs", format!("{protocol} stands there twice")));
        }
        let connect = upgrade.connect_config.as_ref().map(decode_connect).transpose();
        let connect = connect.at("connect_config").at_index("upgrade_configs", index)?;
        if connect.is_some() && protocol != "connect" {
            let error = DecodeError::new("connect_config", "is only for upgrades of the type CONNECT");
            return Err(error).at_index("upgrade_configs", index);
        }
        decoded.push(RouteUpgrade { protocol, is_enabled: is_on(upgrade.enabled.as_ref()), connect });
    }
    Ok(decoded)
}

fn decode_connect(config: &ConnectConfig) -> Result<ConnectUpstream> {
    let version = config.proxy_protocol_config.as_ref().map(proxy_protocol::decode_version).transpose();
    Ok(ConnectUpstream { proxy_protocol: version.at("proxy_protocol_config")?, allow_post: config.allow_post })
}
