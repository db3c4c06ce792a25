use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a workload runs: `region/zone/sub_zone`, each part possibly empty from the right.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Locality {
    pub region: String,
    pub zone: String,
    pub sub_zone: String,
}

impl Locality {
    pub fn is_empty(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.sub_zone.is_empty()
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.region)?;
        if !self.zone.is_empty() || !self.sub_zone.is_empty() {
            write!(f, "/{}", self.zone)?;
        }
        if !self.sub_zone.is_empty() {
            write!(f, "/{}", self.sub_zone)?;
        }
        Ok(())
    }
}

impl FromStr for Locality {
    type Err = LocalityError;

    fn from_str(text: &str) -> Result<Self, LocalityError> {
        let mut parts = text.split('/');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        let locality = Self { region: next(), zone: next(), sub_zone: next() };
        if parts.next().is_some() { Err(LocalityError { text: text.to_owned() }) } else { Ok(locality) }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("locality \"{text}\" has more than three parts; write region/zone/sub-zone")]
pub struct LocalityError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_agree() {
        for text in ["", "eu", "eu/a", "eu/a/rack1"] {
            assert_eq!(text.parse::<Locality>().map(|l| l.to_string()).as_deref(), Ok(text));
        }
        assert!("a/b/c/d".parse::<Locality>().is_err());
    }
}
