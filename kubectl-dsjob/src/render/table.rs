//! Tables in kubectl's form: columns with three blanks between them, and no lines.

use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};

use super::style::Canvas;

/// Blanks between two columns.
const GAP: &str = "   ";
/// A column is not made narrower than this.
const NARROWEST: usize = 12;

/// A table of texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    right: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

/// A cell, with the style of its text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Option<Style>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: None }
    }
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style: Some(style) }
    }
}

impl Table {
    pub(crate) fn new(header: impl IntoIterator<Item = &'static str>) -> Self {
        Self { header: header.into_iter().collect(), ..Self::default() }
    }

    /// Aligns these columns to the right, as numbers are.
    pub(crate) fn right(mut self, columns: &[&str]) -> Self {
        let is_right = |(_, name): &(usize, &&'static str)| columns.contains(name);
        self.right =
            self.header.iter().enumerate().filter(is_right).map(|(index, _)| index).collect();
        self
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as lines, each with a line break, that fit onto the canvas.
    pub(crate) fn render(&self, canvas: Canvas) -> String {
        let widths = self.widths(canvas.width);
        let header: Vec<Cell> = self.header.iter().map(|name| Cell::from(*name)).collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            let mut line = String::new();
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let is_last = index + 1 == widths.len();
                line += &self.cell(cell, index, *width, is_last, canvas);
                if !is_last {
                    line += GAP;
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    fn cell(&self, cell: &Cell, index: usize, width: usize, is_last: bool, to: Canvas) -> String {
        let shown = truncate_str(&cell.text, width, "…");
        let painted = match &cell.style {
            Some(style) => to.paint(style.clone(), &shown),
            None => shown.into_owned(),
        };
        match self.right.contains(&index) {
            true => pad_str(&painted, width, Alignment::Right, None).into_owned(),
            false if is_last => painted,
            false => pad_str(&painted, width, Alignment::Left, None).into_owned(),
        }
    }

    /// The widths of the columns.
    ///
    /// The last one gives way first, then the widest of the others.
    fn widths(&self, room: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<_> = self.header.iter().map(|name| measure_text_width(name)).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(&cell.text));
            }
        }
        let Some(room) = room else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(room);
        if let Some(last) = widths.last_mut() {
            let floor = NARROWEST.min(*last);
            let less = over.min(*last - floor);
            *last -= less;
            over -= less;
        }
        while over > 0 {
            let Some(widest) = widths.iter_mut().max() else { break };
            if *widest <= NARROWEST {
                break;
            }
            *widest -= 1;
            over -= 1;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["NODE", "RUNS", "LAST WORDS"]).right(&["RUNS"]);
        table.row(["w1".into(), "3".into(), "the quick brown fox jumps".into()]);
        table.row(["worker-with-a-long-name".into(), "12".into(), "".into()]);
        table
    }

    fn canvas(width: Option<usize>) -> Canvas {
        Canvas { width, height: None, colour: false }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let expected = "\
NODE                      RUNS   LAST WORDS
w1                           3   the quick brown fox jumps
worker-with-a-long-name     12
";
        assert_eq!(table().render(canvas(None)), expected);
    }

    #[test]
    fn last_column_gives_way_first_and_no_line_is_wider_than_the_screen() {
        let narrow = table().render(canvas(Some(50)));
        assert!(narrow.contains("the quick brown …"), "{narrow}");
        assert!(narrow.contains("worker-with-a-long-name"), "{narrow}");
        let narrower = table().render(canvas(Some(36)));
        assert!(narrower.lines().all(|line| measure_text_width(line) <= 36), "{narrower}");
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(["A", "B"]);
        table.row([Cell::styled("x", Style::new().red()), "y".into()]);
        let painted = table.render(Canvas { colour: true, ..canvas(None) });
        assert!(painted.contains("\u{1b}[31mx\u{1b}[0m   y"), "{painted:?}");
    }
}
