//! How a workload gets its SVID: with a join token the first time, with the SVID it has from then on.
//!
//! Order       saved SVID that is still good -> use it; else token: connect, check the root against the token, send a CSR
//! Invariants  the secret goes only to a server whose chain ends in the root that the token names; the key never leaves

use leno_telemetry::Chain;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use leno_names::{SpiffeId, TrustDomain};
use tonic::transport::Channel;

use crate::{Identity, JoinToken, Svid, key_files};

mod csr;
mod pinned;

pub use self::csr::CsrClient;

/// What a workload knows before it has an identity.
#[derive(Clone, Debug)]
pub struct JoinConfig {
    /// `host:port` of the control plane; several are tried in turn.
    pub control: Vec<String>,
    pub token: Option<JoinToken>,
    pub namespace: String,
    pub service_account: String,
    /// Where the SVID is kept; `None`: in memory only.
    pub state_dir: Option<PathBuf>,
    /// Of each step against one control plane.
    pub timeout: Duration,
}

/// The identity to work with: from disk when there is a good one, from the control plane otherwise.
///
/// # Errors
/// When neither works; says what is missing.
pub async fn join(config: &JoinConfig) -> Result<Identity, JoinError> {
    if let Some(svid) = saved(config) {
        return Ok(Identity::from_svid(svid));
    }
    let token = config.token.as_ref().ok_or(JoinError::NoToken)?;
    let mut last = JoinError::NoControl;
    for address in &config.control {
        match join_at(config, address, token).await {
            Ok(svid) => {
                store(config.state_dir.as_deref(), &svid);
                return Ok(Identity::from_svid(svid));
            }
            // The control plane has judged the token; the others would say the same.
            Err(error @ JoinError::Refused { .. }) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A saved SVID that is still valid and is the one wanted.
fn saved(config: &JoinConfig) -> Option<Svid> {
    let directory = config.state_dir.as_deref()?;
    let svid = match key_files::load(directory) {
        Ok(svid) => svid?,
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the saved SVID is not used");
            return None;
        }
    };
    let wanted = svid.id.namespace == config.namespace && svid.id.service_account == config.service_account;
    if !wanted {
        tracing::warn!(saved = %svid.id, namespace = config.namespace, account = config.service_account, "the saved SVID is for somebody else and is not used");
        return None;
    }
    // A token given for another root means that the mesh was made anew.
    if let Some(token) = &config.token
        && !svid.roots.iter().any(|root| pinned::sha256(root) == token.root_sha256)
    {
        tracing::warn!("the saved SVID is of another authority than the join token and is not used");
        return None;
    }
    (!svid.is_expired(SystemTime::now())).then_some(svid)
}

async fn join_at(config: &JoinConfig, address: &str, token: &JoinToken) -> Result<Svid, JoinError> {
    let (channel, trust_domain) = pinned::connect(address, token, config.timeout).await?;
    let id = SpiffeId::new(trust_domain, &config.namespace, &config.service_account);
    CsrClient::with_token(channel, token).fetch(&id, address, config.timeout).await
}

/// Saves what can be saved; a disk that is full or read-only costs only the next start without control plane.
pub(crate) fn store(directory: Option<&std::path::Path>, svid: &Svid) {
    let Some(directory) = directory else { return };
    if let Err(error) = key_files::save(directory, svid) {
        tracing::warn!(directory = %directory.display(), %error, "the SVID cannot be saved; it is kept in memory");
    }
}

/// A channel to the control plane that shows the current SVID and expects the control plane's.
pub(crate) async fn connect_with_svid(
    identity: &Identity,
    address: &str,
    timeout: Duration,
) -> Result<Channel, JoinError> {
    let control = control_id(&identity.current().id.trust_domain);
    let tls = identity.control_client_config(&control).map_err(|source| JoinError::Settings { source })?;
    pinned::connect_tls(address, tls, timeout).await.map(|(channel, _)| channel)
}

/// Who the control plane of a trust domain is.
pub(crate) fn control_id(trust_domain: &TrustDomain) -> SpiffeId {
    SpiffeId::new(trust_domain.clone(), crate::CONTROL_NAMESPACE, crate::CONTROL_SERVICE_ACCOUNT)
}

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("\"{address}\" is not host:port")]
    Address { address: String },
    #[error("cannot reach the control plane at {address}")]
    Connect { address: String, source: std::io::Error },
    #[error("the control plane at {address} gave a certificate that is not usable")]
    Certificate { address: String, source: crate::SvidError },
    #[error("the control plane at {address} gave a certificate for {given} instead of {wanted}")]
    Identity { address: String, given: SpiffeId, wanted: SpiffeId },
    #[error("no key pair or CSR can be made")]
    Key { source: rcgen::Error },
    #[error("no control plane is known; give its address with --control")]
    NoControl,
    #[error("there is no saved SVID and no join token; make one with leno token create and give it with --token")]
    NoToken,
    #[error("the control plane at {address} refuses the identity: {message}")]
    Refused { address: String, message: String },
    #[error("the TLS settings cannot be made")]
    Settings { source: crate::TlsError },
    #[error("the control plane at {address} does not prove to be the one that made the join token")]
    Tls { address: String, source: std::io::Error },
    #[error("the control plane at {address} does not speak HTTP/2")]
    Transport { address: String, source: tonic::transport::Error },
    #[error("the control plane at {address} does not give a certificate now: {message}")]
    Unavailable { address: String, message: String },
}
