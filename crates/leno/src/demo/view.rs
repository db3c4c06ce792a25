//! The live picture of the demo in a terminal. Draws what it is given; decides nothing.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::report::Report;
use super::scrape::Edge;

pub(crate) struct View<'a> {
    pub(crate) report: &'a Report,
    /// Requests per second of each edge of the report, in its order.
    pub(crate) rates: Vec<f64>,
    pub(crate) running: Duration,
    pub(crate) ejections: u64,
    pub(crate) retries: u64,
    /// The first file or object that the control plane refused.
    pub(crate) refused: Option<String>,
}

pub(crate) fn draw(frame: &mut Frame<'_>, view: &View<'_>) {
    let proxies = u16::try_from(view.report.proxies.len()).unwrap_or(20) + 3;
    let [head, edges, below] =
        Layout::vertical([Constraint::Length(4), Constraint::Min(5), Constraint::Length(proxies)]).areas(frame.area());
    frame.render_widget(summary(view), head);
    frame.render_widget(edge_table(view), edges);
    frame.render_widget(proxy_table(view.report), below);
}

fn summary(view: &View<'_>) -> Paragraph<'static> {
    let rate: f64 = view.rates.iter().sum();
    let second = match &view.refused {
        Some(error) => Line::styled(error.clone(), Style::new().fg(Color::Red)),
        None => Line::from(format!(
            "reviews: 90 % v1, 10 % canaries; v3 is broken on purpose   retries {}   ejections {}   q quits",
            view.retries, view.ejections
        )),
    };
    let lines = vec![
        Line::from(format!(
            "running {:>4}s   {:>8} requests   {rate:>6.0} requests/s   success {:>6.2} %   mutual TLS {:>5.1} %",
            view.running.as_secs(),
            view.report.requests,
            view.report.success_rate * 100.0,
            view.report.mtls_rate * 100.0,
        )),
        second,
    ];
    Paragraph::new(lines).block(Block::bordered().title(" leno demo "))
}

fn edge_table(view: &View<'_>) -> Table<'static> {
    let rows = view.report.edges.iter().zip(&view.rates).map(|(edge, rate)| edge_row(edge, *rate));
    let widths = [
        Constraint::Length(12),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(11),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Length(6),
    ];
    Table::new(rows, widths)
        .header(
            Row::new(["from", "to", "version", "req/s", "success", "p50 ms", "p99 ms", "mTLS"])
                .style(Style::new().add_modifier(Modifier::BOLD)),
        )
        .block(Block::bordered().title(" traffic, as the callers' sidecars count it "))
}

fn edge_row(edge: &Edge, rate: f64) -> Row<'static> {
    let color = if edge.success_rate >= 0.99 { Color::Green } else { Color::Red };
    Row::new([
        edge.from.clone(),
        edge.to.clone(),
        edge.version.clone(),
        format!("{rate:.1}"),
        format!("{:.2} %", edge.success_rate * 100.0),
        format!("{:.2}", edge.p50_ms),
        format!("{:.2}", edge.p99_ms),
        if edge.mtls { "yes".to_owned() } else { "NO".to_owned() },
    ])
    .style(Style::new().fg(color))
}

fn proxy_table(report: &Report) -> Table<'static> {
    let rows = report.proxies.iter().map(|proxy| {
        let state = if proxy.in_sync { "in sync" } else { "not in sync" };
        let color = if proxy.in_sync { Color::Green } else { Color::Yellow };
        Row::new([proxy.name.clone(), state.to_owned()]).style(Style::new().fg(color))
    });
    Table::new(rows, [Constraint::Length(32), Constraint::Min(12)]).block(Block::bordered().title(" proxies "))
}

/// The same for a terminal that is none: one line per edge.
pub(crate) fn plain(view: &View<'_>) -> String {
    let mut text = format!(
        "{:>4}s {:>8} requests, success {:.2} %, mutual TLS {:.1} %, retries {}, ejections {}\n",
        view.running.as_secs(),
        view.report.requests,
        view.report.success_rate * 100.0,
        view.report.mtls_rate * 100.0,
        view.retries,
        view.ejections,
    );
    if let Some(error) = &view.refused {
        text += &format!("      {error}\n");
    }
    for (edge, rate) in view.report.edges.iter().zip(&view.rates) {
        text += &format!(
            "      {:<10} -> {:<10} {:<6} {rate:>7.1} req/s  {:>6.2} %  p50 {:>7.2} ms  p99 {:>7.2} ms  {}\n",
            edge.from,
            edge.to,
            edge.version,
            edge.success_rate * 100.0,
            edge.p50_ms,
            edge.p99_ms,
            if edge.mtls { "mTLS" } else { "plain" },
        );
    }
    text
}
