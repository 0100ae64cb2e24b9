//! Plain tables: names on the left, figures on the right, as wide as they must be.

use std::fmt;

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Before which rows a line is drawn.
    rules: Vec<usize>,
}

impl Table {
    /// A table with these headings, the first over the names.
    pub fn new(name: &str, columns: impl IntoIterator<Item = String>) -> Self {
        let mut table = Self::default();
        table.row(name, columns);
        table.rule();
        table
    }

    /// A table without headings.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// One more row.
    pub fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        self.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }

    /// A line below what is there.
    pub fn rule(&mut self) {
        self.rules.push(self.rows.len());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        for (number, row) in self.rows.iter().enumerate() {
            if self.rules.contains(&number) {
                writeln!(f, "{}", "-".repeat(widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1)))?;
            }
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 && row.len() == 1 {
                    write!(f, "{cell}")?;
                } else if column == 0 {
                    write!(f, "{cell:<width$}")?;
                } else {
                    write!(f, "  {cell:>width$}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
