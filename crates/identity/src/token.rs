use std::fmt;
use std::str::FromStr;

/// What proves a workload the first time, and how it knows the control plane the first time.
///
/// Text: `leno1.<id>.<secret>.<SHA-256 of the root certificate, hex>`. `Debug` hides the secret, `Display` does not.
#[derive(Clone, Eq, PartialEq)]
pub struct JoinToken {
    pub id: String,
    pub secret: String,
    pub root_sha256: [u8; 32],
}

const VERSION: &str = "leno1";

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION}.{}.{}.", self.id, self.secret)?;
        self.root_sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let parts: Vec<_> = text.trim().split('.').collect();
        let [VERSION, id, secret, root] = parts[..] else { return Err(JoinTokenError::Form) };
        let plain = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if !plain(id) || !plain(secret) {
            return Err(JoinTokenError::Form);
        }
        let root_sha256 = from_hex(root).ok_or(JoinTokenError::Root)?;
        Ok(Self { id: id.to_owned(), secret: secret.to_owned(), root_sha256 })
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JoinTokenError {
    #[error("a join token has the form leno1.<id>.<secret>.<root hash>; make one with leno token create")]
    Form,
    #[error("the last part of a join token is the root's SHA-256 in 64 hexadecimal digits; was the token cut off?")]
    Root,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_agree_and_debug_hides_the_secret() {
        let token = JoinToken { id: "a1".into(), secret: "s3cret".into(), root_sha256: [0xab; 32] };
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn a_token_that_was_cut_off_says_so() {
        let text = JoinToken { id: "a".into(), secret: "b".into(), root_sha256: [1; 32] }.to_string();
        assert_eq!(text[..text.len() - 1].parse::<JoinToken>(), Err(JoinTokenError::Root));
        assert_eq!("leno1.a".parse::<JoinToken>(), Err(JoinTokenError::Form));
        assert_eq!("leno1.a b.c.d".parse::<JoinToken>(), Err(JoinTokenError::Form));
    }
}
