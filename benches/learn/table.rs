//! The table: a line a row, `-` where nothing was measured.

use crate::way::Way;
use crate::{Row, Unit};

/// The medians of one row, in the order of [`Way::COLUMNS`].
pub(crate) struct Line {
    pub(crate) row: &'static Row,
    pub(crate) medians: [Option<f64>; Way::COLUMNS.len()],
}

impl Line {
    /// How long in native times.
    fn ratios(&self) -> [Option<f64>; Way::COLUMNS.len()] {
        let [native, ..] = self.medians;
        self.medians
            .map(|median| Some(median? / native.filter(|&native| native > 0.0)?))
    }

    fn cells(&self) -> Vec<String> {
        let values = self.medians.into_iter().zip(self.ratios());
        let cell = |(way, (median, ratio)): (Way, (Option<f64>, Option<f64>))| match self.row.unit {
            Unit::Bytes => median.map(|bytes| format!("{:.1} MiB", bytes / 1_048_576.0)),
            Unit::Seconds if way == Way::Native => median.map(|s| format!("{:.1} ms", s * 1000.0)),
            Unit::PerSecond if way == Way::Native => median.map(|rate| format!("{rate:.0}/s")),
            Unit::Seconds => ratio.map(|ratio| {
                let scaled = self.row.many && way.is_slow();
                format!("{}{}", if scaled { "~" } else { "" }, times(ratio))
            }),
            Unit::PerSecond => ratio.map(|ratio| format!("{:.0} %", ratio * 100.0)),
        };
        let cells = Way::COLUMNS.into_iter().zip(values).map(cell);
        cells
            .map(|cell| cell.unwrap_or_else(|| "-".to_owned()))
            .collect()
    }
}

pub(crate) fn head() -> String {
    let titles = Way::COLUMNS.map(|way| way.title().to_owned());
    line("", &titles)
}

pub(crate) fn body(measured: &Line) -> String {
    line(measured.row.name, &measured.cells())
}

/// The geometric means of those columns that have all rows of time. `None`: there are not two such rows.
pub(crate) fn means(lines: &[Line]) -> Option<String> {
    let timed = lines.iter().filter(|line| line.row.unit == Unit::Seconds);
    let timed: Vec<_> = timed.map(Line::ratios).collect();
    let mean = |column: usize| {
        let logs = timed.iter().map(|row| row.get(column).copied().flatten());
        let logs: Option<Vec<f64>> = logs.map(|ratio| ratio.map(f64::ln)).collect();
        let logs = logs?;
        let count = u32::try_from(logs.len()).ok()?;
        Some(times((logs.iter().sum::<f64>() / f64::from(count)).exp()))
    };
    let cells = (1..Way::COLUMNS.len()).map(|column| mean(column).unwrap_or_else(|| "-".into()));
    let cells: Vec<String> = std::iter::once(String::new()).chain(cells).collect();
    let name = format!("geometric mean of {} times", timed.len());
    (timed.len() > 1).then(|| line(&name, &cells))
}

fn times(ratio: f64) -> String {
    let digits = match ratio {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{ratio:.digits$}x")
}

fn line(name: &str, cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| format!("{cell:>13}"));
    let words: Vec<String> = [format!("{name:<30}")].into_iter().chain(cells).collect();
    words.concat().trim_end().to_owned()
}
