use leno_proto::envoy::config::listener::v3::filter::ConfigType;
use leno_proto::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use leno_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost::Message;

use super::{LISTENER, Patch, PatchOperation, PatchPart, PatchProblem, Patcher, Result, is_named};

const CHAIN: &str = "envoy.config.listener.v3.FilterChain";
const FILTER: &str = "envoy.config.listener.v3.Filter";
const HTTP: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const HTTP_FILTER: &str = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter";

impl Patcher {
    pub(super) fn change_listener(&mut self, body: &[u8], patch: Patch<'_>) -> Result<Option<Vec<u8>>> {
        if patch.part == PatchPart::Whole {
            return match patch.operation {
                PatchOperation::Merge => self.merge_bytes(LISTENER, body, patch.value).map(Some),
                _ => Ok(None),
            };
        }
        let mut listener = Listener::decode(body).map_err(|error| vec![PatchProblem::new("", error.to_string())])?;
        let is_changed = if let PatchPart::FilterChain { name, server_name } = patch.part {
            let is_meant = |chain: &FilterChain| is_named(name, &chain.name) && has_server_name(chain, server_name);
            let mut is_changed = self.change_list(&mut listener.filter_chains, is_meant, CHAIN, patch, false)?;
            if let Some(chain) = listener.default_filter_chain.as_mut().filter(|chain| is_meant(chain))
                && patch.operation == PatchOperation::Merge
            {
                *chain = self.merged(CHAIN, chain, patch.value)?;
                is_changed = true;
            }
            is_changed
        } else {
            let mut is_changed = false;
            for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
                is_changed |= self.change_chain(chain, patch)?;
            }
            is_changed
        };
        Ok(is_changed.then(|| listener.encode_to_vec()))
    }

    fn change_chain(&mut self, chain: &mut FilterChain, patch: Patch<'_>) -> Result<bool> {
        if let PatchPart::NetworkFilter { name } = patch.part {
            let is_meant = |filter: &Filter| is_named(name, &filter.name);
            return self.change_list(&mut chain.filters, is_meant, FILTER, patch, true);
        }
        let mut is_changed = false;
        for filter in &mut chain.filters {
            let Some(ConfigType::TypedConfig(config)) = &mut filter.config_type else { continue };
            if !config.type_url.ends_with(HTTP) {
                continue;
            }
            let mut manager = HttpConnectionManager::decode(config.value.as_slice())
                .map_err(|error| vec![PatchProblem::new("", error.to_string())])?;
            if self.change_manager(&mut manager, patch)? {
                config.value = manager.encode_to_vec();
                is_changed = true;
            }
        }
        Ok(is_changed)
    }

    fn change_manager(&mut self, manager: &mut HttpConnectionManager, patch: Patch<'_>) -> Result<bool> {
        if let PatchPart::HttpFilter { name } = patch.part {
            // Names of old.
            let name = name.map(|name| if name == "envoy.router" { "envoy.filters.http.router" } else { name });
            return self.change_list(
                &mut manager.http_filters,
                |filter| is_named(name, &filter.name),
                HTTP_FILTER,
                patch,
                true,
            );
        }
        let Some(RouteSpecifier::RouteConfig(table)) = &mut manager.route_specifier else { return Ok(false) };
        self.change_table(table, patch)
    }
}

fn has_server_name(chain: &FilterChain, wanted: Option<&str>) -> bool {
    let names = chain.filter_chain_match.iter().flat_map(|matches| &matches.server_names);
    wanted.is_none_or(|wanted| names.into_iter().any(|name| name == wanted))
}
