use std::fmt::Write;

/// Aligned columns, two spaces apart. The last column is as wide as its text.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<I: IntoIterator<Item: Into<String>>>(head: I) -> Self {
        Self { rows: vec![head.into_iter().map(Into::into).collect()] }
    }

    /// What is missing or empty is shown as `-`.
    pub(crate) fn row<I: IntoIterator<Item: Into<String>>>(&mut self, cells: I) {
        let printable = |cell: String| {
            let line: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            if line.is_empty() { "-".to_owned() } else { line }
        };
        self.rows.push(cells.into_iter().map(|cell| printable(cell.into())).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a string does not fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}
