//! The run: every case file, or those whose names are given, a few at a time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::compare::{Difference, are_alike, differences};
use crate::file::{Case, Step};
use crate::gather::gather;
use crate::refusal;
use crate::report::{Accepted, AreaReport, check_document, table, unused};
use crate::side::{Counters, Kind, Side, StepOutcome};

/// Files at once. Chosen: most of a run is waiting for timeouts, and each file has two proxies.
const AT_ONCE: usize = 4;

/// Arguments: parts of file names; with `file/text`, only the cases whose names have the text.
pub fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let Some(envoy) = leno_e2e::need("LENO_ENVOY") else { return ExitCode::SUCCESS };
    match run(&wanted, &envoy) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(wanted: &[String], envoy: &Path) -> anyhow::Result<bool> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files(&directory.join("cases"), wanted)?;
    let certificates = Arc::new(Certificates::make()?);
    let everywhere = std::fs::read_to_string(directory.join("accept.yaml")).context("reading accept.yaml")?;
    let everywhere: Accepted = serde_saphyr::from_str(&everywhere).map_err(|error| anyhow::anyhow!("{error}"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        // Envoy ends with the thread that started it (PR_SET_PDEATHSIG).
        .thread_keep_alive(Duration::from_secs(3600))
        .enable_all()
        .build()?;
    let only = wanted.iter().find_map(|name| Some(name.split_once('/')?.1.to_owned()));
    let reports = runtime.block_on(async {
        let running = files.iter().map(|path| area(path, envoy, certificates.clone(), &everywhere, only.as_deref()));
        futures_util::stream::iter(running).buffered(AT_ONCE).collect::<Vec<_>>().await
    });
    for failure in reports.iter().flat_map(|report| &report.failures) {
        eprintln!("\n{failure}");
    }
    println!("\n{}", table(&reports));
    let mut is_well = reports.iter().all(|report| report.failures.is_empty());
    if is_well && wanted.is_empty() {
        for pattern in unused(&everywhere, &reports) {
            is_well = false;
            eprintln!("accept.yaml accepts a difference that is gone: {pattern}");
        }
        check_document(&reports, &everywhere, &directory.join("../../docs/differential.md"))?;
    }
    Ok(is_well)
}

fn files(directory: &Path, wanted: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let is_wanted = |name: &String| stem.contains(name.split('/').next().unwrap_or_default());
        if path.extension().is_some_and(|extension| extension == "yaml")
            && (wanted.is_empty() || wanted.iter().any(is_wanted))
        {
            files.push(path);
        }
    }
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no case file is called so");
    Ok(files)
}

async fn area(
    path: &Path,
    envoy: &Path,
    certificates: Arc<Certificates>,
    everywhere: &Accepted,
    only: Option<&str>,
) -> AreaReport {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match try_area(&name, path, envoy, certificates, everywhere, only).await {
        Ok(report) => report,
        Err(error) => {
            let mut report = AreaReport { area: name, ..AreaReport::default() };
            report.fail("cannot be run", &format!("{error:#}"));
            report
        }
    }
}

async fn try_area(
    name: &str,
    path: &Path,
    envoy: &Path,
    certificates: Arc<Certificates>,
    everywhere: &Accepted,
    only: Option<&str>,
) -> anyhow::Result<AreaReport> {
    let text = std::fs::read_to_string(path)?;
    let leno = Side::start(Kind::Leno, &text, envoy, certificates.clone());
    let of_envoy = Side::start(Kind::Envoy, &text, envoy, certificates);
    let (leno, of_envoy) = tokio::join!(leno, of_envoy);
    let mut sides = [leno.context("Leno")?, of_envoy.context("Envoy")?];
    let mut report = AreaReport::new(name, &sides[0].file);
    let [mut of_leno, mut of_envoy] = [Vec::new(), Vec::new()];
    let is_wanted = |case: &str| only.is_none_or(|part| case.contains(part));
    let cases = sides[0].file.cases.clone();
    for (at, case) in cases.iter().enumerate() {
        let case_of_envoy = sides[1].file.cases.get(at).context("both sides read the same file")?;
        if !is_wanted(&case.name) {
            of_leno.push(Vec::new());
            of_envoy.push(Vec::new());
            continue;
        }
        let before = [sides[0].stats(case).await, sides[1].stats(case).await];
        let (mut one, mut other) = tokio::join!(sides[0].run(at, case), sides[1].run(at, case_of_envoy));
        if let (Some(one), Some(other)) = (one.last_mut(), other.last_mut()) {
            let grown = growth(case, [&sides[0], &sides[1]], &before).await;
            let [of_leno, of_envoy] = grown.map(|grown| json!(grown));
            (one.value["stats"], other.value["stats"]) = (of_leno, of_envoy);
        }
        of_leno.push(one);
        of_envoy.push(other);
        if let Some(why) = sides.iter_mut().find_map(Side::ended) {
            report.fail(&case.name, &why);
            return Ok(report);
        }
    }
    let file = &sides[0].file;
    let mut outcomes = [of_leno, of_envoy];
    gather([&sides[0], &sides[1]], &mut outcomes).await;
    let [of_leno, of_envoy] = outcomes;
    for (at, case) in file.cases.iter().enumerate().filter(|(_, case)| is_wanted(&case.name)) {
        report.add(file, everywhere, at, &all_differences(&case.all_steps(), &of_leno[at], &of_envoy[at]));
        for outcome in of_leno[at].iter().chain(&of_envoy[at]) {
            if let Some(why) = outcome.value["error"].as_str() {
                report.fail(&case.name, why);
            }
        }
        if let Some(refuse) = &case.refuse
            && let Some(why) = refusal::check(&sides[0], envoy, at, refuse)?
        {
            report.fail(&case.name, &why);
        }
        if std::env::var_os("SHOW").is_some() {
            for (leno, envoy) in of_leno[at].iter().zip(&of_envoy[at]) {
                eprintln!("{name}: {} {}\n  Leno:  {}\n  Envoy: {}", case.name, leno.id, leno.value, envoy.value);
            }
        }
    }
    if only.is_none() {
        let file = &sides[0].file;
        report.check_used(file);
    }
    Ok(report)
}

/// By how much the counters of a case grew. They may come a moment after the answer.
#[allow(clippy::disallowed_methods, reason = "asking another process again needs a pause")]
async fn growth(case: &Case, sides: [&Side; 2], before: &[Counters; 2]) -> [Counters; 2] {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let after = [sides[0].stats(case).await, sides[1].stats(case).await];
        let grown = [grown(&before[0], after[0].clone()), grown(&before[1], after[1].clone())];
        if grown[0] == grown[1] || Instant::now() > deadline {
            return grown;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn grown(before: &Counters, after: Counters) -> Counters {
    after.into_iter().map(|(name, value)| (name.clone(), value - before.get(&name).unwrap_or(&0))).collect()
}

/// Of all steps of a case; paths start with the number of the step where there are several.
fn all_differences(steps: &[Step], leno: &[StepOutcome], envoy: &[StepOutcome]) -> Vec<Difference> {
    let mut all = Vec::new();
    for (at, (step, (leno, envoy))) in steps.iter().zip(leno.iter().zip(envoy)).enumerate() {
        if let Step::Request(request) = step
            && request.repeat > 0
            && !request.exact
            && are_alike(&leno.value["counts"], &envoy.value["counts"])
        {
            continue;
        }
        let prefix = if steps.len() == 1 { String::new() } else { format!("{at}.") };
        let found = differences(&strip(leno), &strip(envoy)).into_iter();
        all.extend(found.map(|difference| Difference { path: format!("{prefix}{}", difference.path), ..difference }));
    }
    all
}

fn strip(outcome: &StepOutcome) -> Value {
    outcome.value.clone()
}
