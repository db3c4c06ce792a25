//! Join tokens: secrets with which a workload proves itself the first time. Only their hashes are kept.
//!
//! Invariants  a use is on disk before it counts as given; expired and used-up tokens stay listed until revoked or swept

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leno_identity::JoinToken;
use leno_names::SpiffeId;
use serde::{Deserialize, Serialize};

use crate::authority::{Ca, CaError};
use crate::files;

/// What a new token is good for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenSpec {
    pub namespace: String,
    /// The identities that may be had with it; at least one.
    pub service_accounts: Vec<String>,
    /// How many certificates may be had with it; at least 1.
    pub uses: u32,
    pub ttl: Duration,
}

/// A token without its secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenInfo {
    pub id: String,
    pub namespace: String,
    pub service_accounts: Vec<String>,
    pub uses_left: u32,
    /// Seconds since 1970.
    pub expires: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Stored {
    #[serde(flatten)]
    info: TokenInfo,
    /// Base64 of the SHA-256 of the secret, which has 256 random bits: a slow hash would add nothing.
    secret_sha256: String,
}

#[derive(Debug)]
pub(crate) struct Tokens {
    path: PathBuf,
    tokens: BTreeMap<String, Stored>,
}

/// Expired tokens are forgotten after this.
const KEPT_AFTER_EXPIRY: Duration = Duration::from_secs(24 * 3600);

impl Tokens {
    pub(crate) fn open(path: PathBuf) -> Result<Self, CaError> {
        let text = files::read(&path).map_err(|source| CaError::Read { path: path.clone(), source })?;
        let tokens = match text {
            Some(text) => serde_json::from_str(&text).map_err(|_| CaError::Damaged { path: path.clone() })?,
            None => BTreeMap::new(),
        };
        Ok(Self { path, tokens })
    }

    fn save(&self) -> Result<(), CaError> {
        let write = |source| CaError::Write { path: self.path.clone(), source };
        let text = serde_json::to_vec_pretty(&self.tokens).map_err(|error| write(error.into()))?;
        files::write_private(&self.path, &text).map_err(write)
    }

    fn redeem(&mut self, token: &JoinToken, id: &SpiffeId, now: u64) -> Result<(), TokenError> {
        let stored = self.tokens.get_mut(&token.id).ok_or(TokenError::Unknown)?;
        let expected = URL_SAFE_NO_PAD.decode(&stored.secret_sha256).unwrap_or_default();
        verify_slices_are_equal(digest(&SHA256, token.secret.as_bytes()).as_ref(), &expected)
            .map_err(|_| TokenError::Unknown)?;
        if now >= stored.info.expires {
            return Err(TokenError::Expired { id: token.id.clone() });
        }
        let wanted =
            stored.info.namespace == id.namespace && stored.info.service_accounts.contains(&id.service_account);
        if !wanted {
            return Err(TokenError::OtherIdentity { id: token.id.clone(), wanted: id.clone() });
        }
        if stored.info.uses_left == 0 {
            return Err(TokenError::UsedUp { id: token.id.clone() });
        }
        stored.info.uses_left -= 1;
        if let Err(error) = self.save() {
            // Not on disk, so not used: after a restart it would be good again.
            if let Some(stored) = self.tokens.get_mut(&token.id) {
                stored.info.uses_left += 1;
            }
            return Err(TokenError::NotSaved { source: error });
        }
        Ok(())
    }
}

impl Ca {
    /// Makes a join token; this is the only time its secret is seen.
    ///
    /// # Errors
    /// `Refused` for a specification that would be good for nothing; otherwise when it cannot be saved.
    pub fn create_token(&self, spec: &TokenSpec, now: SystemTime) -> Result<JoinToken, CaError> {
        if spec.service_accounts.is_empty() || spec.uses == 0 || spec.ttl.is_zero() {
            let reason = "a join token needs a service account, at least one use and a life above zero".to_owned();
            return Err(CaError::Refused { reason });
        }
        for name in spec.service_accounts.iter().chain([&spec.namespace]) {
            leno_names::dns_name(name).map_err(|error| CaError::Refused { reason: error.to_string() })?;
        }
        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let id = format!("{:012x}", rand::random::<u64>() >> 16);
        let hash = digest(&SHA256, &self.root);
        let mut root_sha256 = [0; 32];
        root_sha256.copy_from_slice(hash.as_ref());
        let info = TokenInfo {
            id: id.clone(),
            namespace: spec.namespace.clone(),
            service_accounts: spec.service_accounts.clone(),
            uses_left: spec.uses,
            expires: seconds(now).saturating_add(spec.ttl.as_secs()),
        };
        let secret_sha256 = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()));
        let mut tokens = self.lock_tokens();
        let forget_before = seconds(now).saturating_sub(KEPT_AFTER_EXPIRY.as_secs());
        tokens.tokens.retain(|_, stored| stored.info.expires > forget_before);
        tokens.tokens.insert(id.clone(), Stored { info, secret_sha256 });
        if let Err(error) = tokens.save() {
            tokens.tokens.remove(&id);
            return Err(error);
        }
        Ok(JoinToken { id, secret, root_sha256 })
    }

    pub fn list_tokens(&self) -> Vec<TokenInfo> {
        let tokens = self.lock_tokens();
        let usable = tokens.tokens.values().filter(|stored| stored.info.uses_left > 0);
        usable.map(|stored| stored.info.clone()).collect()
    }

    /// `false` when there is no such token.
    ///
    /// # Errors
    /// When the change cannot be saved; the token is gone until the next start all the same.
    pub fn revoke_token(&self, id: &str) -> Result<bool, CaError> {
        let mut tokens = self.lock_tokens();
        let found = tokens.tokens.remove(id).is_some();
        if found {
            tokens.save()?;
        }
        Ok(found)
    }

    /// Takes one use of a token for `id`.
    ///
    /// # Errors
    /// Why not.
    pub fn redeem_token(&self, token: &JoinToken, id: &SpiffeId, now: SystemTime) -> Result<(), TokenError> {
        self.lock_tokens().redeem(token, id, seconds(now))
    }

    fn lock_tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("join token {id} has expired; make a new one with leno token create")]
    Expired { id: String },
    #[error("the use of the join token cannot be saved, so it is not given")]
    NotSaved { source: CaError },
    #[error("join token {id} is not for {wanted}")]
    OtherIdentity { id: String, wanted: SpiffeId },
    #[error("the join token is not known here; it may be of another mesh, or revoked")]
    Unknown,
    #[error("join token {id} has been used up; make a new one with leno token create")]
    UsedUp { id: String },
}
