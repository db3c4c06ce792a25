//! What a run found: per case to standard error, a table at its end, and `docs/differential.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::compare::{Difference, names};
use crate::file::CaseFile;

#[derive(Debug, Default)]
pub(crate) struct AreaReport {
    pub(crate) area: String,
    pub(crate) about: String,
    pub(crate) cases: usize,
    pub(crate) same: usize,
    pub(crate) failures: Vec<String>,
    /// Paths at which accepted differences were seen.
    pub(crate) accepted: usize,
    /// What the file accepts: reason to cases and paths. The page is made of this, not of what one run saw.
    pub(crate) declared: BTreeMap<String, BTreeSet<String>>,
    /// Cases that accept nothing of their own.
    pub(crate) plain: usize,
    pub(crate) used: BTreeSet<(usize, String)>,
}

/// Position of the entries that hold for a whole file.
const WHOLE_FILE: usize = usize::MAX;
/// Of the entries that hold for all files.
const EVERYWHERE: usize = usize::MAX - 1;

/// Path to reason.
pub(crate) type Accepted = BTreeMap<String, String>;

/// Entries for all files that no file needs.
pub(crate) fn unused(everywhere: &Accepted, areas: &[AreaReport]) -> Vec<String> {
    let is_used = |pattern: &String| areas.iter().any(|area| area.used.contains(&(EVERYWHERE, pattern.clone())));
    everywhere.keys().filter(|pattern| !is_used(pattern)).cloned().collect()
}

impl AreaReport {
    pub(crate) fn new(area: &str, file: &CaseFile) -> Self {
        let mut declared: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let of_file = file.accept.iter().map(|entry| ("any case", entry));
        let of_cases = file.cases.iter().flat_map(|case| case.accept.iter().map(|entry| (case.name.as_str(), entry)));
        for (case, (pattern, reason)) in of_file.chain(of_cases) {
            declared.entry(reason.clone()).or_default().insert(format!("{case}: `{pattern}`"));
        }
        let plain = file.cases.iter().filter(|case| case.accept.is_empty()).count();
        Self { area: area.to_owned(), about: file.about.clone(), declared, plain, ..Self::default() }
    }

    /// Sorts the differences of a case into those that are accepted and those that are not.
    pub(crate) fn add(&mut self, file: &CaseFile, everywhere: &Accepted, at: usize, differences: &[Difference]) {
        let Some(case) = file.cases.get(at) else { return };
        self.cases += 1;
        let mut findings = String::new();
        for difference in differences {
            let of_case = case.accept.iter().map(|entry| (at, entry));
            let of_file = file.accept.iter().map(|entry| (WHOLE_FILE, entry));
            let of_all = everywhere.iter().map(|entry| (EVERYWHERE, entry));
            let found = of_case.chain(of_file).chain(of_all).find(|(_, (pattern, _))| names(pattern, &difference.path));
            let Some((place, (pattern, _))) = found else {
                let side = |value: &Option<Value>| value.as_ref().map_or_else(|| "(none)".to_owned(), Value::to_string);
                let (leno, envoy) = (side(&difference.leno), side(&difference.envoy));
                let _ = write!(findings, "\n    {}\n      Leno:  {leno}\n      Envoy: {envoy}", difference.path);
                continue;
            };
            self.used.insert((place, pattern.clone()));
            self.accepted += usize::from(place != EVERYWHERE);
        }
        if differences.iter().all(|difference| everywhere.keys().any(|pattern| names(pattern, &difference.path))) {
            self.same += 1;
        }
        if !findings.is_empty() {
            self.failures.push(format!("{}: {}{findings}", self.area, case.name));
        }
    }

    pub(crate) fn fail(&mut self, case: &str, why: &str) {
        self.failures.push(format!("{}: {case}\n    {}", self.area, why.trim_end().replace('\n', "\n    ")));
    }

    /// An accepted difference that was not seen is a failure: the lists only shrink.
    pub(crate) fn check_used(&mut self, file: &CaseFile) {
        let of_cases = file
            .cases
            .iter()
            .enumerate()
            .flat_map(|(at, case)| case.accept.keys().map(move |pattern| (at, case.name.as_str(), pattern)));
        let of_file = file.accept.keys().map(|pattern| (WHOLE_FILE, "the file", pattern));
        for (at, name, pattern) in of_cases.chain(of_file) {
            if !self.used.contains(&(at, pattern.clone())) {
                self.failures.push(format!("{}: {name}\n    accepts a difference that is gone: {pattern}", self.area));
            }
        }
    }
}

pub(crate) fn table(areas: &[AreaReport]) -> String {
    let mut text = format!("{:<28}{:>7}{:>7}{:>10}{:>8}\n", "area", "cases", "same", "accepted", "failed");
    let mut total = [0; 4];
    for area in areas {
        let numbers = [area.cases, area.same, area.accepted, area.failures.len()];
        total = std::array::from_fn(|at| total[at] + numbers[at]);
        let [cases, same, accepted, failed] = numbers;
        let _ = writeln!(text, "{:<28}{cases:>7}{same:>7}{accepted:>10}{failed:>8}", area.area);
    }
    let [cases, same, accepted, failed] = total;
    let _ = writeln!(text, "{:<28}{cases:>7}{same:>7}{accepted:>10}{failed:>8}", format!("{} files", areas.len()));
    text
}

pub(crate) fn document(areas: &[AreaReport], everywhere: &Accepted) -> String {
    let mut text = "# Leno and Envoy, compared\n\n\
        One bootstrap, the same traffic, Leno's proxy and stock Envoy 1.40: `cargo test -p leno-differential`. This page is\n\
        written by that run with `UPDATE=1` and checked by every other one. How cases are written:\n\
        [tests/differential/README.md](../tests/differential/README.md).\n\n\
        | area | what | cases | of them accept nothing | reasons accepted |\n|---|---|---|---|---|\n"
        .to_owned();
    for area in areas {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            area.area,
            area.about,
            area.cases,
            area.plain,
            area.declared.len()
        );
    }
    let cases: usize = areas.iter().map(|area| area.cases).sum();
    let plain: usize = areas.iter().map(|area| area.plain).sum();
    let _ = writeln!(text, "| all | | {cases} | {plain} | |");
    text += "\n## Accepted differences\n\nBy case and path; a path names all below it. A difference that is no longer seen fails the run until it is taken from its\n\
        file.\n";
    if !everywhere.is_empty() {
        text += "\n### In all areas\n\n";
        for (pattern, reason) in everywhere {
            let _ = writeln!(text, "- `{pattern}`: {reason}");
        }
    }
    for area in areas.iter().filter(|area| !area.declared.is_empty()) {
        let _ = writeln!(text, "\n### {}\n", area.area);
        for (reason, places) in &area.declared {
            let _ = writeln!(text, "- {reason}");
            for place in places {
                let _ = writeln!(text, "  - {place}");
            }
        }
    }
    text
}

/// # Errors
/// When the page is not what this run would write.
pub(crate) fn check_document(areas: &[AreaReport], everywhere: &Accepted, path: &Path) -> anyhow::Result<()> {
    let text = document(areas, everywhere);
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, text).with_context(|| format!("writing {}", path.display()));
    }
    let current = std::fs::read_to_string(path).unwrap_or_default();
    anyhow::ensure!(current == text, "{} is not what this run found: run it with UPDATE=1", path.display());
    Ok(())
}
