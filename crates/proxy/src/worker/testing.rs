use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leno_identity::{Identity, Svid};
use leno_ir::Config;
use leno_telemetry::Registry;
use rcgen::{CertificateParams, KeyPair, SanType};

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
            stats: stats.worker(),
            identity: Identity::from_svid(self_signed()),
            handshake_timeout: Duration::from_secs(5),
            random: 1,
        };
        let worker = Rc::new(Self::new(seed));
        let plan = Arc::new(Plan::default().next(Arc::new(config)));
        for (name, config) in &plan.config.clusters {
            let limits = plan.limits.get(name).cloned().unwrap_or_default();
            let cluster = UpstreamCluster::new(config.clone(), limits, plan.endpoints(config), &worker);
            worker.clusters.borrow_mut().insert(name.clone(), Rc::new(cluster));
        }
        *worker.plan.borrow_mut() = plan;
        worker
    }
}

fn self_signed() -> Svid {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    let id = "spiffe://cluster.local/ns/default/sa/web".try_into().expect("ASCII");
    params.subject_alt_names.push(SanType::URI(id));
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    Svid::from_pem(&certificate, &key.serialize_pem(), &certificate).expect("an SVID")
}
