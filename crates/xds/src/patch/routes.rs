use leno_proto::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use prost::Message;

use super::{Patch, PatchOperation, PatchPart, PatchProblem, Patcher, Result, is_named};

const TABLE: &str = "envoy.config.route.v3.RouteConfiguration";
const HOST: &str = "envoy.config.route.v3.VirtualHost";
const ROUTE: &str = "envoy.config.route.v3.Route";

impl Patcher {
    pub(super) fn change_routes(&mut self, body: &[u8], patch: Patch<'_>) -> Result<Option<Vec<u8>>> {
        let mut table =
            RouteConfiguration::decode(body).map_err(|error| vec![PatchProblem::new("", error.to_string())])?;
        Ok(self.change_table(&mut table, patch)?.then(|| table.encode_to_vec()))
    }

    pub(super) fn change_table(&mut self, table: &mut RouteConfiguration, patch: Patch<'_>) -> Result<bool> {
        match patch.part {
            PatchPart::Whole if patch.operation == PatchOperation::Merge => {
                *table = self.merged(TABLE, table, patch.value)?;
                Ok(true)
            }
            PatchPart::VirtualHost { name, domain } => {
                let is_meant = |host: &VirtualHost| {
                    let has = |domain: &str| host.domains.iter().any(|own| own == domain);
                    is_named(name, &host.name) && domain.is_none_or(has)
                };
                self.change_list(&mut table.virtual_hosts, is_meant, HOST, patch, false)
            }
            PatchPart::Route { host, name } => {
                let mut is_changed = false;
                for virtual_host in table.virtual_hosts.iter_mut().filter(|own| is_named(host, &own.name)) {
                    let routes = &mut virtual_host.routes;
                    is_changed |= self.change_list(routes, |route| is_named(name, &route.name), ROUTE, patch, false)?;
                }
                Ok(is_changed)
            }
            _ => Ok(false),
        }
    }
}
