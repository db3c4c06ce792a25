//! Gateway API's conformance cases, each with real processes: upstream's manifests, and what upstream says of each.
//!
//! Shape       `cases/gateway_api.json` -> n case -> steps, on one mesh that all share -> `docs/conformance.md`
//! Invariants  a case's objects are gone before the next begins; the page is what the run gives (UPDATE=1 writes it)
//! Errors      without reference data, or where port 80 needs more rights than we have, it says that it did not run
//! Source      Gateway API v1.6, conformance/tests

#[path = "gateway_api/ask.rs"]
mod ask;
#[path = "gateway_api/call.rs"]
mod call;
#[path = "gateway_api/case.rs"]
mod case;
#[path = "gateway_api/cluster.rs"]
mod cluster;
#[path = "gateway_api/many.rs"]
mod many;
#[path = "gateway_api/page.rs"]
mod page;
#[path = "gateway_api/pods.rs"]
mod pods;
#[path = "gateway_api/secrets.rs"]
mod secrets;
#[path = "gateway_api/site.rs"]
mod site;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use case::Case;
use site::Site;

/// What became of a case.
pub(crate) enum Outcome {
    Passes,
    Fails(String),
    /// Nothing here does what upstream's case does.
    NotWritten(String),
}

fn data() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("LENO_REFERENCE_DATA").map_or(default, PathBuf::from);
    let manifests = root.join("gateway-api/conformance");
    if !manifests.is_dir() {
        println!("DID NOT RUN: no reference data at {} (set LENO_REFERENCE_DATA)", root.display());
        return None;
    }
    Some(manifests)
}

#[test]
fn the_conformance_cases_give_what_the_page_says() -> anyhow::Result<()> {
    let Some(manifests) = data() else { return Ok(()) };
    if let Err(error) = TcpListener::bind("127.0.0.1:80")
        && error.kind() == std::io::ErrorKind::PermissionDenied
    {
        println!("DID NOT RUN: the cases have gateways on port 80, which is not for us: {error}");
        return Ok(());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(here.join("cases/gateway_api.json"))?)?;
    // For work on one case.
    let only = std::env::var("CASE").ok();
    let mut site = Site::start(&manifests)?;
    let mut outcomes = BTreeMap::new();
    for case in &cases {
        if only.as_ref().is_some_and(|only| !case.name.contains(only.as_str())) {
            continue;
        }
        let outcome = match &case.unwritten {
            Some(why) => Outcome::NotWritten(why.clone()),
            None => match case.run(&mut site) {
                Ok(()) => Outcome::Passes,
                Err(error) => Outcome::Fails(format!("{error:#}")),
            },
        };
        if let Outcome::Fails(why) = &outcome {
            println!("{}: {why}", case.name);
        }
        outcomes.insert(case.name.as_str(), outcome);
    }
    if only.is_some() {
        return Ok(());
    }
    page::check_claims(&site.claims()?, &cases, &outcomes)?;
    page::check(&here.join("../../docs/conformance.md"), &cases, &outcomes)
}
