use leno_api::{EnvoyPatch, PatchContext};
use leno_ir::{Direction, Listener, Node};

/// The kind of proxy, and the side of it, that a patch is for.
#[derive(Clone, Copy)]
pub(super) struct Meant(PatchContext);

impl Meant {
    pub(super) fn of(written: &EnvoyPatch) -> Self {
        Self(written.r#match.context.unwrap_or(PatchContext::Any))
    }

    pub(super) fn is_met_by(self, node: &Node, direction: Direction) -> bool {
        match self.0 {
            PatchContext::Any => true,
            PatchContext::Gateway => node.gateway.is_some(),
            PatchContext::SidecarInbound => node.gateway.is_none() && direction == Direction::Inbound,
            PatchContext::SidecarOutbound => node.gateway.is_none() && direction == Direction::Outbound,
            PatchContext::Waypoint => false,
        }
    }
}

pub(super) fn means_listener(written: &EnvoyPatch, node: &Node, listener: &Listener) -> bool {
    if !Meant::of(written).is_met_by(node, listener.direction) {
        return false;
    }
    let Some(wanted) = &written.r#match.listener else { return true };
    let number =
        if listener.direction == Direction::Inbound { port_of(&listener.name) } else { Some(listener.address.port()) };
    let has_name = wanted.name.as_deref().filter(|name| !name.is_empty()).is_none_or(|name| match name {
        "virtualInbound" => listener.direction == Direction::Inbound,
        "virtualOutbound" => listener.direction == Direction::Outbound,
        name => name == listener.name,
    });
    let chain = wanted.filter_chain.as_ref().and_then(|chain| chain.destination_port);
    has_name && is_wanted(wanted.port_number, number) && is_wanted(chain, number)
}

/// `name`: of the table, which is also the name of the listener whose part it is.
pub(super) fn means_table(written: &EnvoyPatch, node: &Node, name: &str, direction: Direction) -> bool {
    if !Meant::of(written).is_met_by(node, direction) {
        return false;
    }
    let Some(wanted) = &written.r#match.route_configuration else { return true };
    let number = port_of(name);
    // In Istio a table of a sidecar is called after its port.
    let of_port = |wanted: &str| number.is_some_and(|number| wanted.parse() == Ok(number));
    let has_name = wanted.name.as_deref().filter(|wanted| !wanted.is_empty());
    has_name.is_none_or(|wanted| wanted == name || of_port(wanted)) && is_wanted(wanted.port_number, number)
}

pub(super) fn means_cluster(written: &EnvoyPatch, node: &Node, name: &str) -> bool {
    let direction = if name.starts_with("inbound|") { Direction::Inbound } else { Direction::Outbound };
    if !Meant::of(written).is_met_by(node, direction) {
        return false;
    }
    let Some(wanted) = &written.r#match.cluster else { return true };
    let mut parts = name.splitn(4, '|').skip(2);
    let (subset, service) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    filled(&wanted.name).is_none_or(|wanted| wanted == name)
        && filled(&wanted.subset).is_none_or(|wanted| wanted == subset)
        && filled(&wanted.service).is_none_or(|wanted| wanted == service)
        && is_wanted(wanted.port_number, port_of(name))
}

fn is_wanted(wanted: Option<u16>, number: Option<u16>) -> bool {
    wanted.filter(|port| *port != 0).is_none_or(|wanted| Some(wanted) == number)
}

/// Of `inbound|9080||` and `outbound|9080|v1|reviews.default.svc.cluster.local`; of `gateway|shop/entry|80`, the last part.
fn port_of(name: &str) -> Option<u16> {
    let mut parts = name.split('|');
    let at = if parts.next()? == "gateway" { 1 } else { 0 };
    parts.nth(at)?.parse().ok()
}
