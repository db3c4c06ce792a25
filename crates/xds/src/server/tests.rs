//! Seeded simulations of a server and a client that come and go, change, accept, reject and reconnect; and the rules of
//! the protocol one by one.

mod delta_client;
mod full_client;
mod rules;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Pacing, Report};
use crate::ResourceKind::{Cluster, Endpoints, Listener, RouteTable};
use crate::{Resource, ResourceKind};

/// Name to version, by kind: what a client has.
type Held = BTreeMap<(ResourceKind, String), String>;

/// A client with its server and what is on its way from one to the other.
trait Peer {
    /// Whether a new stream tells the server what the client has. Without that, the first whole set of clusters takes
    /// away what listeners, not yet updated, refer to: no order of the server's can help.
    const RESUMES: bool;

    fn new(pacing: Pacing) -> Self;
    fn set(&mut self, kind: ResourceKind, resource: Arc<Resource>);
    fn remove(&mut self, kind: ResourceKind, name: &str);
    /// Moves what the server has to send onto the wire.
    fn transmit(&mut self) -> Vec<Report>;
    /// The client takes one response off the wire and answers. `false` when there is none.
    fn receive(&mut self, accept: bool) -> bool;
    /// The stream breaks; a new server with `resources` takes over.
    fn reconnect(&mut self, resources: &BTreeMap<(ResourceKind, String), Arc<Resource>>);
    fn held(&self) -> Held;
}

/// Small and good enough to pick events (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

const KINDS: [ResourceKind; 4] = [Cluster, Endpoints, Listener, RouteTable];

/// Service n is one resource of each kind, all named `n`; a listener refers to its route table, that to its cluster.
struct World<P> {
    random: Random,
    resources: BTreeMap<(ResourceKind, String), Arc<Resource>>,
    peer: P,
    version: u64,
    rejects: bool,
}

impl<P: Peer> World<P> {
    fn new(seed: u64, pacing: Pacing, rejects: bool) -> Self {
        let mut peer = P::new(pacing);
        peer.reconnect(&BTreeMap::new());
        let random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Self { random, resources: BTreeMap::new(), peer, version: 0, rejects }
    }

    fn step(&mut self) {
        let service = self.random.below(6).to_string();
        match self.random.below(12) {
            0..2 => KINDS.into_iter().for_each(|kind| self.put(kind, &service)),
            2 => KINDS.into_iter().for_each(|kind| self.take(kind, &service)),
            3..5 if self.resources.contains_key(&(Endpoints, service.clone())) => self.put(Endpoints, &service),
            5 if self.resources.contains_key(&(Listener, service.clone())) => self.put(Listener, &service),
            6 if self.random.below(5) == 0 && (P::RESUMES || self.rejects) => self.peer.reconnect(&self.resources),
            7..9 => drop(self.peer.transmit()),
            _ => {
                let accept = !self.rejects || self.random.below(4) > 0;
                self.peer.receive(accept);
            }
        }
    }

    fn put(&mut self, kind: ResourceKind, name: &str) {
        self.version += 1;
        let resource = resource(kind, name, &self.version.to_string());
        self.resources.insert((kind, name.to_owned()), resource.clone());
        self.peer.set(kind, resource);
    }

    fn take(&mut self, kind: ResourceKind, name: &str) {
        self.resources.remove(&(kind, name.to_owned()));
        self.peer.remove(kind, name);
    }

    fn settle(&mut self) {
        for _ in 0..1000 {
            self.peer.transmit();
            if !self.peer.receive(true) {
                return;
            }
        }
        panic!("the exchange does not come to rest");
    }

    fn assert_converged(&self) {
        let wanted: Held = self.resources.iter().map(|(key, value)| (key.clone(), value.version.clone())).collect();
        assert_eq!(self.peer.held(), wanted);
    }

    fn assert_nothing_dangles(&self) {
        let held = self.peer.held();
        for (kind, name) in held.keys().filter(|(kind, _)| matches!(kind, Listener | RouteTable)) {
            assert!(held.contains_key(&(Cluster, name.clone())), "{kind} {name} refers to a cluster that is not there");
        }
    }
}

fn resource(kind: ResourceKind, name: &str, version: &str) -> Arc<Resource> {
    Arc::new(Resource {
        name: name.to_owned(),
        type_url: kind.type_url(),
        version: version.to_owned(),
        body: format!("{name}@{version}").into_bytes(),
    })
}

fn simulate<P: Peer>(pacing: Pacing, rejects: bool) {
    for seed in 1..=200 {
        let mut world = World::<P>::new(seed, pacing, rejects);
        for step in 0..300 {
            world.step();
            if pacing == Pacing::Stepwise && !rejects {
                let world = std::panic::AssertUnwindSafe(&world);
                let result = std::panic::catch_unwind(|| world.assert_nothing_dangles());
                assert!(result.is_ok(), "seed {seed} step {step}");
            }
        }
        world.settle();
        if rejects {
            // What was rejected is not sent again until it changes.
            let keys: Vec<_> = world.resources.keys().cloned().collect();
            keys.iter().for_each(|(kind, name)| world.put(*kind, name));
            world.settle();
        }
        world.assert_converged();
    }
}

#[test]
fn delta_clients_converge_and_nothing_dangles() {
    simulate::<delta_client::Peer>(Pacing::Stepwise, false);
}

#[test]
fn delta_clients_converge_at_once() {
    simulate::<delta_client::Peer>(Pacing::Atomic, false);
}

#[test]
fn delta_clients_that_reject_converge() {
    simulate::<delta_client::Peer>(Pacing::Stepwise, true);
}

#[test]
fn full_clients_converge_and_nothing_dangles() {
    simulate::<full_client::Peer>(Pacing::Stepwise, false);
}

#[test]
fn full_clients_that_reject_converge() {
    simulate::<full_client::Peer>(Pacing::Stepwise, true);
}

type Wire<T> = VecDeque<T>;
