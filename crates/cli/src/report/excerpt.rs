use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::{end_column, source_of};
use crate::files::Input;
use crate::problem::FileProblem;

/// As rustc shows an error: the line, what is meant, and what would be right. One line where the place is not known.
pub(super) fn render(problem: &FileProblem, inputs: &[Input], colour: bool) -> String {
    let (message, help) = problem.message_and_help();
    let level = match problem.severity.as_str() {
        "error" => Level::ERROR,
        "warning" => Level::WARNING,
        _ => Level::INFO,
    };
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut title = level.primary_title(message);
    if !problem.code.is_empty() {
        title = title.id(problem.code.as_str());
    }
    let at = [problem.object.as_str(), &problem.field];
    let at = at.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    let text = source_of(problem, inputs);
    let line = text.and_then(|text| text.lines().nth(problem.line.checked_sub(1)?));
    let help = help.map(|help| Level::HELP.message(help));
    let Some(line) = line else {
        let place = (!problem.source.is_empty()).then_some(problem.source.as_str());
        let known: Vec<_> = place.into_iter().chain((!at.is_empty()).then_some(at.as_str())).collect();
        let note = (!known.is_empty()).then(|| Level::NOTE.message(known.join(": ")));
        return renderer.render(&[title.elements(note).elements(help)]) + "\n\n";
    };
    let byte = |column: usize| line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let span = byte(problem.column)..byte(end_column(line, problem.column));
    let snippet = Snippet::source(line)
        .path(problem.source.as_str())
        .line_start(problem.line)
        .annotation(AnnotationKind::Primary.span(span).label(at.as_str()));
    renderer.render(&[title.element(snippet).elements(help)]) + "\n\n"
}
