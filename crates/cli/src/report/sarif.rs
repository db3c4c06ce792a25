use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{end_column, source_of};
use crate::files::Input;
use crate::problem::FileProblem;

/// A log with one run (OASIS SARIF 2.1.0).
pub(super) fn log(problems: &[FileProblem], inputs: &[Input]) -> Value {
    let codes: BTreeSet<_> = problems.iter().map(rule).collect();
    let codes: Vec<_> = codes.into_iter().collect();
    let results: Vec<_> = problems.iter().map(|problem| result(problem, inputs, &codes)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "leno",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://leno.dev",
                "rules": codes.iter().map(|code| json!({ "id": code })).collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(problem: &FileProblem) -> &str {
    if problem.code.is_empty() { "problem" } else { &problem.code }
}

fn result(problem: &FileProblem, inputs: &[Input], codes: &[&str]) -> Value {
    let level = match problem.severity.as_str() {
        "error" => "error",
        "warning" => "warning",
        _ => "note",
    };
    let mut location = json!({});
    if !problem.source.is_empty() {
        location["physicalLocation"]["artifactLocation"]["uri"] = uri(&problem.source).into();
    }
    if problem.line > 0 {
        let mut region = json!({ "startLine": problem.line, "startColumn": problem.column.max(1) });
        if let Some(line) = source_of(problem, inputs).and_then(|text| text.lines().nth(problem.line - 1)) {
            region["endColumn"] = end_column(line, problem.column.max(1)).into();
        }
        location["physicalLocation"]["region"] = region;
    }
    let parts = [problem.object.as_str(), &problem.field];
    let name: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if !name.is_empty() {
        location["logicalLocations"] = json!([{ "fullyQualifiedName": name.join(": ") }]);
    }
    json!({
        "ruleId": rule(problem),
        "ruleIndex": codes.iter().position(|code| *code == rule(problem)),
        "level": level,
        "message": { "text": problem.message },
        "locations": [location],
    })
}

/// A relative reference stays one; what a URI cannot hold is escaped (RFC 3986 §2.1).
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let show = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    path.bytes().map(show).collect()
}
