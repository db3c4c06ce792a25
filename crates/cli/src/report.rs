//! Problems for people (with the source, as rustc shows them) and for programs.

mod excerpt;
mod github;
mod sarif;

use std::io::IsTerminal;

use clap::ValueEnum;
use serde_json::json;

use crate::files::Input;
use crate::problem::FileProblem;

/// How problems are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Workflow commands of GitHub, which become annotations.
    Github,
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    Text,
}

/// What was looked at, and what was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) inputs: &'a [Input],
    pub(crate) objects: usize,
    pub(crate) problems: &'a [FileProblem],
}

impl Report<'_> {
    pub(crate) fn count(&self, severity: &str) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    /// To standard output; a summary for people to standard error.
    pub(crate) fn print(&self, format: Format) {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        print!("{}", self.render(format, colour));
        if format == Format::Text {
            let notes = self.count("info");
            let notes = if notes > 0 { format!(", {notes} notes") } else { String::new() };
            let [errors, warnings] = ["error", "warning"].map(|severity| self.count(severity));
            eprintln!("{} objects, {errors} errors, {warnings} warnings{notes}", self.objects);
        }
    }

    pub(crate) fn render(&self, format: Format, colour: bool) -> String {
        match format {
            Format::Github => self.problems.iter().map(|problem| github::line(problem, self.inputs)).collect(),
            Format::Json => {
                let report = json!({
                    "objects": self.objects,
                    "errors": self.count("error"),
                    "warnings": self.count("warning"),
                    "problems": self.problems,
                });
                format!("{report:#}\n")
            }
            Format::Sarif => format!("{:#}\n", sarif::log(self.problems, self.inputs)),
            Format::Text => self.problems.iter().map(|problem| excerpt::render(problem, self.inputs, colour)).collect(),
        }
    }
}

/// The text that a problem is in.
fn source_of<'a>(problem: &FileProblem, inputs: &'a [Input]) -> Option<&'a str> {
    inputs.iter().find(|input| input.source == problem.source).map(|input| input.text.as_str())
}

/// The column after the word at `column` of a line: after the closing quote, else before what ends a plain scalar of YAML
/// (YAML 1.2 §7.3.3). Columns count characters from 1.
fn end_column(line: &str, column: usize) -> usize {
    let rest: Vec<char> = line.chars().skip(column.saturating_sub(1)).collect();
    let quote = rest.first().copied().filter(|first| ['"', '\''].contains(first));
    if let Some(quote) = quote {
        let close = rest.iter().enumerate().skip(1).find(|(at, char)| {
            **char == quote && (quote == '\'' || at.checked_sub(1).and_then(|at| rest.get(at)) != Some(&'\\'))
        });
        return column + close.map_or(rest.len(), |(at, _)| at + 1);
    }
    let ends = |at: usize| match rest.get(at) {
        Some(',' | '}' | ']') => true,
        Some(':') => rest.get(at + 1).is_none_or(|next| next.is_whitespace()),
        Some(' ' | '\t') => matches!(rest.get(at + 1), Some('#') | None),
        _ => false,
    };
    let length = (0..rest.len()).find(|at| ends(*at)).unwrap_or(rest.len());
    let trailing = rest.iter().take(length).rev().take_while(|char| char.is_whitespace()).count();
    column + (length - trailing).max(1)
}

#[cfg(test)]
mod tests;
