use crate::ResourceKind;

/// How far apart the steps of make-before-break must be for a client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pacing {
    /// The client applies what belongs together at once and answers after that (Leno's proxy): additions may be on their
    /// way together, and what it waits for is never held back.
    Atomic,
    /// The client applies each response by itself (Envoy, gRPC): listeners and routes wait until clusters, endpoints and
    /// secrets are accepted. Envoy accepts clusters only when they are warm, so endpoints and secrets never wait.
    #[default]
    Stepwise,
}

/// Which half of a change a response carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Add,
    Remove,
}

/// What one kind could do next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    pub(super) outstanding: bool,
    pub(super) adds: bool,
    /// Among the additions are some that the client waits for: it asked and got no answer yet.
    pub(super) asked: bool,
    pub(super) removals: bool,
}

/// The next response to send, if one may be sent now.
pub(super) fn next_push(of: impl Fn(ResourceKind) -> Readiness, pacing: Pacing) -> Option<(ResourceKind, Phase)> {
    let idle = |kinds: &[ResourceKind]| kinds.iter().all(|kind| !of(*kind).outstanding && !of(*kind).adds);
    let referred = [ResourceKind::Cluster, ResourceKind::Endpoints, ResourceKind::Secret];
    let may_refer = match pacing {
        Pacing::Atomic => referred.iter().all(|kind| !of(*kind).adds),
        Pacing::Stepwise => idle(&referred),
    };
    for kind in ResourceKind::ALL {
        let refers = matches!(kind, ResourceKind::Listener | ResourceKind::RouteTable | ResourceKind::Scope);
        let awaited = pacing == Pacing::Atomic && of(kind).asked;
        // A client that waits for what it asked for will not answer before it has it.
        if of(kind).adds && (awaited || (!of(kind).outstanding && (may_refer || !refers))) {
            return Some((kind, Phase::Add));
        }
    }
    removal_order().into_iter().find_map(|(kind, after)| {
        let ready = of(kind).removals && !of(kind).outstanding && !of(kind).adds && idle(after);
        ready.then_some((kind, Phase::Remove))
    })
}

/// Each kind with those that may refer to it and must have let go first.
const fn removal_order() -> [(ResourceKind, &'static [ResourceKind]); 6] {
    use ResourceKind::{Cluster, Endpoints, Listener, RouteTable, Scope, Secret};
    [
        (Listener, &[RouteTable]),
        (Scope, &[Listener]),
        (RouteTable, &[Listener, Scope]),
        (Cluster, &[Listener, RouteTable]),
        (Endpoints, &[Cluster]),
        (Secret, &[Listener, Cluster]),
    ]
}
