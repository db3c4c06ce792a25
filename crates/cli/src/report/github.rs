use super::{end_column, source_of};
use crate::files::Input;
use crate::problem::FileProblem;

/// A workflow command (GitHub, "Workflow commands for GitHub Actions": setting an error, warning or notice message).
pub(super) fn line(problem: &FileProblem, inputs: &[Input]) -> String {
    let command = match problem.severity.as_str() {
        "error" => "error",
        "warning" => "warning",
        _ => "notice",
    };
    let mut properties = Vec::new();
    if !problem.source.is_empty() {
        properties.push(format!("file={}", property(&problem.source)));
    }
    if problem.line > 0 {
        properties.push(format!("line={},col={}", problem.line, problem.column));
        let line = source_of(problem, inputs).and_then(|text| text.lines().nth(problem.line - 1));
        properties.extend(line.map(|line| format!("endColumn={}", end_column(line, problem.column))));
    }
    if !problem.code.is_empty() {
        properties.push(format!("title={}", property(&problem.code)));
    }
    let parts = [&problem.object, &problem.field, &problem.message];
    let message: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect();
    format!("::{command} {}::{}\n", properties.join(","), data(&message.join(": ")))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
