use std::fmt::Write;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::extensions::GeneralName;

/// What people want to know of a certificate; no key in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateSummary {
    /// Hexadecimal digits in lower case, without leading zeros.
    pub serial_number: String,
    /// The SPIFFE ID, or what else stands there.
    pub uris: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
}

impl CertificateSummary {
    /// `None` when it does not parse: what is shown to people may lack a line, it must not fail.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        };
        let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(uri).collect();
        let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let validity = parsed.validity();
        Some(Self {
            serial_number: hexadecimal(parsed.raw_serial()),
            uris,
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// RFC 3339, in UTC.
    pub fn valid_from(&self) -> String {
        rfc3339(self.not_before)
    }

    /// RFC 3339, in UTC.
    pub fn expiration_time(&self) -> String {
        rfc3339(self.not_after)
    }
}

fn rfc3339(time: SystemTime) -> String {
    // Only years past 9999 cannot be written.
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() { "0".to_owned() } else { significant.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_are_written_as_envoy_does() {
        assert_eq!(hexadecimal(&[0x00, 0x8f, 0x0a]), "8f0a");
        assert_eq!(hexadecimal(&[0]), "0");
        assert_eq!(rfc3339(SystemTime::UNIX_EPOCH), "1970-01-01T00:00:00Z");
    }
}
