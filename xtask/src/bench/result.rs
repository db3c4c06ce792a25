//! What rounds gave, and what that says: medians, ratios per round, goals.
//!
//! Shape       scenario -> n figures -> peers -> rounds
//! Invariants  a ratio is the median over rounds of ours / theirs in the same round; of our variants the one with the
//!             smallest median is "ours", figure by figure never mixed within a scenario

use std::collections::BTreeMap;

use serde::Serialize;

use super::scenario::{Figure, Goal, Scenario};

/// One peer in one round.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// Of bulk transfers.
    pub(crate) bytes: u64,
    pub(crate) cpu_us_per_request: f64,
    pub(crate) requests_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// What the scenario measures beside these.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) values: BTreeMap<String, f64>,
    /// Share of all CPU time that neither proxies, load nor origin used.
    pub(crate) foreign_cpu: f64,
}

impl Sample {
    pub(crate) fn of_values<const N: usize>(values: [(&str, f64); N]) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Self { requests: 1, values, ..Self::default() }
    }
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct ScenarioResult {
    pub(crate) name: &'static str,
    /// Which of our variants is compared.
    ours: String,
    figures: Vec<FigureResult>,
    pub(crate) samples: BTreeMap<String, Vec<Sample>>,
    /// Peers that could not be measured, and why.
    pub(crate) failed: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct FigureResult {
    name: &'static str,
    unit: &'static str,
    medians: BTreeMap<String, f64>,
    ranges: BTreeMap<String, (f64, f64)>,
    /// Ours / theirs.
    ratios: BTreeMap<String, f64>,
    goals: Vec<GoalResult>,
}

#[derive(Debug, Serialize)]
struct GoalResult {
    /// Empty when the goal is a number in the figure's unit.
    against: String,
    at_most: f64,
    measured: f64,
    met: bool,
}

pub(crate) fn evaluate(
    scenario: &Scenario,
    samples: BTreeMap<String, Vec<Sample>>,
    failed: BTreeMap<String, String>,
) -> ScenarioResult {
    let ours = cheaper_of_ours(scenario, &samples);
    let figures = scenario.figures.iter().map(|figure| evaluate_figure(figure, &samples, &ours)).collect();
    ScenarioResult { name: scenario.name, ours, figures, samples, failed }
}

/// By the first figure that is CPU time, or the first of all.
fn cheaper_of_ours(scenario: &Scenario, samples: &BTreeMap<String, Vec<Sample>>) -> String {
    let figure = scenario.figures.iter().find(|figure| figure.name == "CPU").or(scenario.figures.first());
    let Some(figure) = figure else { return String::new() };
    let ours = samples.iter().filter(|(name, _)| is_ours(name));
    let median_of = |samples: &[Sample]| median(samples.iter().map(|sample| figure.measured(sample)));
    ours.min_by(|(_, a), (_, b)| median_of(a).total_cmp(&median_of(b)))
        .map(|(name, _)| name.clone())
        .unwrap_or_default()
}

fn is_ours(name: &str) -> bool {
    name.starts_with("leno")
}

fn evaluate_figure(figure: &Figure, samples: &BTreeMap<String, Vec<Sample>>, ours: &str) -> FigureResult {
    let figures: BTreeMap<&str, Vec<f64>> = samples
        .iter()
        .map(|(name, samples)| (name.as_str(), samples.iter().map(|sample| figure.measured(sample)).collect()))
        .collect();
    let medians: BTreeMap<String, f64> =
        figures.iter().map(|(name, values)| ((*name).to_owned(), median(values.iter().copied()))).collect();
    let range = |values: &[f64]| {
        (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(f64::MIN, f64::max))
    };
    let ranges = figures.iter().map(|(name, values)| ((*name).to_owned(), range(values))).collect();
    // Latency goals are about what a proxy adds to the bare connection.
    let floor = if figure.added_to_direct { medians.get("direct").copied().unwrap_or(0.0) } else { 0.0 };
    let mine = figures.get(ours).cloned().unwrap_or_default();
    let ratios: BTreeMap<String, f64> = figures
        .iter()
        .filter(|(name, _)| **name != ours && **name != "direct" && !mine.is_empty())
        .map(|(name, theirs)| {
            let pairs = mine.iter().zip(theirs).map(|(a, b)| (a - floor) / (b - floor).max(f64::MIN_POSITIVE));
            ((*name).to_owned(), median(pairs))
        })
        .collect();
    let goals = figure
        .goals
        .iter()
        .filter_map(|goal| {
            let (against, at_most, measured) = match *goal {
                Goal::AtMost(at_most) => ("", at_most, *medians.get(ours)?),
                Goal::Times(at_most, against) => (against, at_most, *ratios.get(against)?),
            };
            Some(GoalResult { against: against.to_owned(), at_most, measured, met: measured <= at_most })
        })
        .collect();
    FigureResult { name: figure.name, unit: figure.unit, medians, ranges, ratios, goals }
}

impl ScenarioResult {
    pub(crate) fn print(&self) {
        for figure in &self.figures {
            println!("{:<18} {:>10} {:>10} {:>10} {:>12}", figure.name, figure.unit, "min", "max", "ours / peer");
            for (name, median) in &figure.medians {
                let (low, high) = figure.ranges.get(name).copied().unwrap_or_default();
                let ratio = figure.ratios.get(name).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
                println!("{name:<18} {median:>10.2} {low:>10.2} {high:>10.2} {ratio:>12}");
            }
            for goal in &figure.goals {
                println!("goal: {goal}");
            }
        }
        for (peer, reason) in &self.failed {
            println!("{peer} was NOT MEASURED: {reason}");
        }
    }

    /// Rows of a Markdown table.
    pub(crate) fn rows(&self) -> String {
        let mut text = String::new();
        for figure in &self.figures {
            let others: Vec<String> = figure
                .medians
                .iter()
                .filter(|(name, _)| **name != self.ours)
                .map(|(name, median)| {
                    let ratio = figure.ratios.get(name).map(|ratio| format!(" ({ratio:.2} x)")).unwrap_or_default();
                    format!("{name} {}{ratio}", digits(*median))
                })
                .collect();
            let goals: Vec<String> = figure.goals.iter().map(ToString::to_string).collect();
            let ours = figure.medians.get(&self.ours).map_or_else(|| "-".to_owned(), |median| digits(*median));
            text += &format!(
                "| {}: {}, {} | {} {ours} | {} | {} |\n",
                self.name,
                figure.name,
                figure.unit,
                self.ours,
                others.join(", "),
                goals.join("; ")
            );
        }
        for (peer, reason) in &self.failed {
            text += &format!("| {}: {peer} | not measured | {} | |\n", self.name, reason.replace(['\n', '|'], " "));
        }
        text
    }
}

impl std::fmt::Display for GoalResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.met { "met" } else { "NOT MET" };
        if self.against.is_empty() {
            write!(f, "<= {}: {}, {verdict}", self.at_most, digits(self.measured))
        } else {
            write!(f, "<= {:.2} x {}: {:.2}, {verdict}", self.at_most, self.against, self.measured)
        }
    }
}

/// Three digits of small numbers are enough.
fn digits(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") }
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scenarios;

    fn rounds(values: [f64; 3]) -> Vec<Sample> {
        values.iter().map(|cpu| Sample { cpu_us_per_request: *cpu, ..Sample::default() }).collect()
    }

    #[test]
    fn the_cheaper_of_ours_is_compared_round_by_round() {
        let all = scenarios::all();
        let mesh = all.iter().find(|scenario| scenario.name == "mesh").expect("there");
        let samples = BTreeMap::from([
            ("leno".to_owned(), rounds([40.0, 44.0, 48.0])),
            ("leno-h2".to_owned(), rounds([30.0, 33.0, 60.0])),
            ("envoy-h2".to_owned(), rounds([100.0, 100.0, 120.0])),
        ]);
        let result = evaluate(mesh, samples, BTreeMap::new());
        assert_eq!(result.ours, "leno-h2");
        assert!((result.figures[0].ratios["envoy-h2"] - 0.33).abs() < 1e-9);
        assert!(result.figures[0].goals[0].met);
        // HAProxy was not measured, so there is nothing to say about it.
        assert_eq!(result.figures[0].goals.len(), 1);
    }

    #[test]
    fn scenarios_have_names_of_their_own() {
        let mut names: Vec<_> = scenarios::all().iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
