use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leno_identity::{Identity, Svid};
use leno_ir::Config;
use leno_telemetry::Registry;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};

use super::{Plan, Worker, WorkerSeed};
use crate::access_log::AccessLogs;
use crate::stats::{Stats, StatsSettings};
use crate::upstream::UpstreamCluster;

impl Worker {
    /// A worker with the clusters of `config` and no listeners, on the current `LocalSet`.
    pub(crate) fn for_tests(config: Config) -> Rc<Self> {
        let stats = Stats::register(&Registry::new(), StatsSettings::default());
        let seed = WorkerSeed {
            index: 0,
            access_logs: AccessLogs::new(stats.access_log_dropped()),
            overload: None,
            shared_states: crate::shared::SharedStates::default(),
            stats: stats.worker(),
            identity: Some(Identity::from_svid(svid())),
            tls_contexts: crate::tls::TlsContexts::default(),
            handshake_timeout: Duration::from_secs(5),
            node_id: String::new(),
            local_cluster: "test".to_owned(),
            local_zone: None,
            connection_limits: Default::default(),
            random: 1,
        };
        let worker = Rc::new(Self::new(seed));
        let plan = Arc::new(Plan::default().next(Arc::new(config), HashMap::new()));
        for (name, config) in plan.config.clusters.iter() {
            let cluster = UpstreamCluster::new(config.clone(), plan.shared(name), plan.endpoints(config), &worker);
            worker.clusters.borrow_mut().insert(name.to_owned(), Rc::new(cluster));
        }
        *worker.plan.borrow_mut() = plan;
        worker
    }
}

fn svid() -> Svid {
    let root_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&root_key).expect("a root").pem();
    let issuer = Issuer::new(params, root_key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    let id = "spiffe://cluster.local/ns/default/sa/web".try_into().expect("ASCII");
    params.subject_alt_names.push(SanType::URI(id));
    let leaf = params.signed_by(&key, &issuer).expect("a certificate").pem();
    Svid::from_pem(&leaf, &key.serialize_pem(), &root).expect("an SVID")
}
