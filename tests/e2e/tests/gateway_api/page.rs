//! `docs/conformance.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::ensure;

use crate::Outcome;
use crate::case::Case;

const HEAD: &str = "# Gateway API conformance

Upstream's conformance cases (v1.6) and what becomes of them here, with real processes. Written by the run of
`tests/e2e/tests/gateway_api.rs` with UPDATE=1; the run fails when it gives anything else. \"No counterpart\" means that nothing
here does what upstream's case does, and says nothing of whether Leno would pass it.
";

/// What no profile calls extended.
const CORE: [&str; 8] =
    ["GRPCRoute", "Gateway", "HTTPRoute", "Mesh", "ReferenceGrant", "TCPRoute", "TLSRoute", "UDPRoute"];
const PROFILES: [(&str, &str); 7] = [
    ("GATEWAY-HTTP", "Gateway and HTTPRoute"),
    ("GATEWAY-GRPC", "Gateway and GRPCRoute"),
    ("GATEWAY-TLS", "Gateway and TLSRoute"),
    ("GATEWAY-TCP", "Gateway and TCPRoute"),
    ("GATEWAY-UDP", "Gateway and UDPRoute"),
    ("MESH-HTTP", "HTTPRoute on a Service"),
    ("MESH-GRPC", "GRPCRoute on a Service"),
];

fn profile(case: &Case) -> &'static str {
    let has = |feature: &str| case.features.iter().any(|one| one == feature);
    match (has("Mesh"), has("GRPCRoute")) {
        (true, true) => "MESH-GRPC",
        (true, false) => "MESH-HTTP",
        (false, true) => "GATEWAY-GRPC",
        _ if has("TLSRoute") => "GATEWAY-TLS",
        _ if has("TCPRoute") => "GATEWAY-TCP",
        _ if has("UDPRoute") => "GATEWAY-UDP",
        _ => "GATEWAY-HTTP",
    }
}

/// # Errors
/// When the page is not what the run gives.
pub(crate) fn check(path: &Path, cases: &[Case], outcomes: &BTreeMap<&str, Outcome>) -> anyhow::Result<()> {
    let page = page(cases, outcomes);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, page)?;
        return Ok(());
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let differs: Vec<_> = page.lines().filter(|line| !written.lines().any(|other| other == *line)).collect();
    ensure!(written == page, "docs/conformance.md is not what the run gives (UPDATE=1 writes it): {differs:#?}");
    Ok(())
}

/// A class claims the features of which cases pass and none fails, and no others.
///
/// # Errors
/// When it claims what does not pass, or hides what does.
pub(crate) fn check_claims(
    claimed: &[String],
    cases: &[Case],
    outcomes: &BTreeMap<&str, Outcome>,
) -> anyhow::Result<()> {
    let all = || cases.iter().flat_map(|case| &case.features);
    // What a case is about is the rarest of its features.
    let about = |case: &'_ Case| {
        case.features.iter().min_by_key(|feature| all().filter(|other| other == feature).count()).cloned()
    };
    let with =
        |wanted: fn(&Outcome) -> bool| cases.iter().filter(move |case| outcomes.get(&*case.name).is_some_and(wanted));
    let fail: BTreeSet<_> = with(|outcome| matches!(outcome, Outcome::Fails(_))).filter_map(about).collect();
    let pass: BTreeSet<_> =
        with(|outcome| matches!(outcome, Outcome::Passes)).flat_map(|case| case.features.clone()).collect();
    let shown: Vec<_> = pass.difference(&fail).cloned().collect();
    ensure!(shown == claimed, "cases show {shown:#?}, and the class claims {claimed:#?}");
    Ok(())
}

fn page(cases: &[Case], outcomes: &BTreeMap<&str, Outcome>) -> String {
    let mut page = HEAD.to_owned();
    for (name, what) in PROFILES {
        let mut rows: Vec<_> = cases.iter().filter(|case| profile(case) == name).collect();
        rows.sort_by_key(|case| &case.name);
        let passing = rows.iter().filter(|case| matches!(outcomes.get(&*case.name), Some(Outcome::Passes))).count();
        let all = rows.len();
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "\n## {name}\n\n{what}: {passing} of {all} pass.\n\n| Case | Support | Outcome |\n| --- | --- | --- |\n"
        );
        for case in rows {
            let is_core = case.features.iter().all(|feature| CORE.contains(&feature.as_str()));
            let support = if is_core { "core" } else { "extended" };
            let outcome = match outcomes.get(&*case.name) {
                Some(Outcome::Passes) => "passes".to_owned(),
                // The words of a failure have addresses and times.
                Some(Outcome::Fails(_)) => "fails".to_owned(),
                Some(Outcome::NotWritten(why)) => format!("no counterpart: {why}"),
                None => "did not run".to_owned(),
            };
            let _ = writeln!(page, "| {} | {support} | {outcome} |", case.name);
        }
    }
    page
}
