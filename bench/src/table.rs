//! What was measured, as a table for people and as JSON.

use serde_json::{Map, Value, json};

use crate::load::real;

/// A measured quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    pub value: f64,
    pub unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    PerSecond,
    Millis,
    Megabytes,
    Seconds,
    /// One figure as a multiple of another.
    Times,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "/s",
            Self::Millis => "ms",
            Self::Megabytes => "MB",
            Self::Seconds => "s",
            Self::Times => "×",
        }
    }
}

impl Figure {
    pub const fn new(value: f64, unit: Unit) -> Self {
        Self { value, unit }
    }

    pub const fn per_second(value: f64) -> Self {
        Self::new(value, Unit::PerSecond)
    }

    pub const fn millis(value: f64) -> Self {
        Self::new(value, Unit::Millis)
    }

    pub fn megabytes(bytes: u64) -> Self {
        Self::new(real(bytes / 1000) / 1000.0, Unit::Megabytes)
    }

    fn times(value: f64) -> Self {
        Self::new(value, Unit::Times)
    }

    fn text(self) -> String {
        let digits = match self.value {
            value if value >= 100.0 => 0,
            value if value >= 10.0 => 1,
            _ => 2,
        };
        let space = if self.unit == Unit::Times { "" } else { " " };
        format!("{:.digits$}{space}{}", self.value, self.unit.name())
    }
}

/// What should be reached: more than this of a rate, less than this of everything else.
#[derive(Debug, Clone, Copy)]
pub struct Goal {
    pub at_least: f64,
    pub aim: f64,
}

/// What a line is called in JSON, and for people.
pub type Name<T> = (&'static str, T);

/// A line of the table.
pub struct Row {
    pub id: &'static str,
    pub what: String,
    /// Or why it could not be measured.
    pub measured: Result<Figure, String>,
    /// What the figure is compared with; the goal is then about the ratio.
    pub reference: Option<(&'static str, Figure)>,
    pub goal: Option<Goal>,
    /// What else is known about it.
    pub details: Value,
}

impl Row {
    pub fn new((id, what): Name<impl Into<String>>, measured: Figure) -> Self {
        Self {
            id,
            what: what.into(),
            measured: Ok(measured),
            reference: None,
            goal: None,
            details: json!({}),
        }
    }

    pub fn failed((id, what): Name<&str>, why: &anyhow::Error) -> Self {
        Self {
            measured: Err(format!("{why:#}")),
            ..Self::new((id, what), Figure::times(0.0))
        }
    }

    pub fn against(mut self, what: &'static str, figure: Figure) -> Self {
        self.reference = Some((what, figure));
        self
    }

    pub fn goal(mut self, at_least: f64, aim: f64) -> Self {
        self.goal = Some(Goal { at_least, aim });
        self
    }

    pub fn details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    pub fn ratio(&self) -> Option<f64> {
        let (measured, (_, reference)) = (self.measured.as_ref().ok()?, self.reference?);
        Some(measured.value / reference.value)
    }

    /// What the goal is about.
    fn judged(&self) -> Option<Figure> {
        match self.reference {
            Some(_) => self.ratio().map(Figure::times),
            None => self.measured.as_ref().ok().copied(),
        }
    }

    fn is_better_with_more(&self) -> bool {
        matches!(&self.measured, Ok(figure) if figure.unit == Unit::PerSecond)
    }

    /// `yes` for the aim, `at least` for what must be; `None` where nothing is demanded.
    pub fn reached(&self) -> Option<&'static str> {
        let goal = self.goal?;
        let Some(figure) = self.judged() else {
            return Some("no");
        };
        let reaches = |bound: f64| match self.is_better_with_more() {
            true => figure.value >= bound,
            false => figure.value <= bound,
        };
        Some(match (reaches(goal.aim), reaches(goal.at_least)) {
            (true, _) => "yes",
            (false, true) => "at least",
            (false, false) => "no",
        })
    }

    fn cells(&self) -> [String; 7] {
        let bound = |bound: f64| {
            let sign = if self.is_better_with_more() {
                "≥"
            } else {
                "≤"
            };
            let figure = self.judged()?;
            Some(format!(
                "{sign} {bound}{}",
                match figure.unit {
                    Unit::Times => "×".to_owned(),
                    unit => format!(" {}", unit.name()),
                }
            ))
        };
        let shown = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        [
            self.what.clone(),
            match &self.measured {
                Ok(figure) => figure.text(),
                Err(_) => "not measured".to_owned(),
            },
            shown(
                self.reference
                    .map(|(what, figure)| format!("{} {what}", figure.text())),
            ),
            shown(self.ratio().map(|ratio| Figure::times(ratio).text())),
            shown(self.goal.and_then(|goal| bound(goal.at_least))),
            shown(self.goal.and_then(|goal| bound(goal.aim))),
            shown(self.reached().map(str::to_owned)),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "what": self.what,
            "measured": self.measured.as_ref().ok().map(|figure| figure.value),
            "unit": self.measured.as_ref().ok().map(|figure| figure.unit.name()),
            "fault": self.measured.as_ref().err(),
            "reference": self.reference.map(|(what, figure)| json!({ "what": what, "value": figure.value })),
            "ratio": self.ratio(),
            "atLeast": self.goal.map(|goal| goal.at_least),
            "aim": self.goal.map(|goal| goal.aim),
            "reached": self.reached(),
            "details": self.details,
        })
    }
}

/// Everything that a run has found out.
#[derive(Default)]
pub struct Table {
    /// The machine and its settings, in the order of their importance.
    pub conditions: Vec<(&'static str, String)>,
    pub rows: Vec<Row>,
    /// What had to be right and was not.
    pub faults: Vec<String>,
}

impl Table {
    /// Whether everything was measured and every answer was right.
    pub fn is_ok(&self) -> bool {
        self.faults.is_empty() && self.rows.iter().all(|row| row.measured.is_ok())
    }

    pub fn json(&self) -> Value {
        let conditions: Map<String, Value> = self
            .conditions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({
            "ok": self.is_ok(),
            "conditions": conditions,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "faults": self.faults,
        })
    }

    pub fn text(&self) -> String {
        const HEAD: [&str; 7] = [
            "what",
            "measured",
            "reference",
            "ratio",
            "at least",
            "aim",
            "reached",
        ];
        let mut lines = vec![HEAD.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let mut widths = [0; 7];
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        for (name, value) in &self.conditions {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text.push('\n');
        for (number, line) in lines.iter().enumerate() {
            for (cell, width) in line.iter().zip(widths) {
                text.push_str(&format!("| {cell:width$} "));
            }
            text.push_str("|\n");
            if number == 0 {
                for width in widths {
                    text.push_str(&format!("|{}", "-".repeat(width + 2)));
                }
                text.push_str("|\n");
            }
        }
        for row in &self.rows {
            if let Err(why) = &row.measured {
                text.push_str(&format!("\nnot measured: {}: {why}\n", row.what));
            }
        }
        for fault in &self.faults {
            text.push_str(&format!("\nwrong: {fault}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(value: f64) -> Row {
        let reference = Figure::per_second(100.0);
        Row::new(("r", "rate"), Figure::per_second(value))
            .against("pgbench", reference)
            .goal(1.0, 2.0)
    }

    #[test]
    fn a_rate_reaches_its_goal_from_below_and_a_latency_from_above() {
        assert_eq!(rate(200.0).reached(), Some("yes"));
        assert_eq!(rate(199.0).reached(), Some("at least"));
        assert_eq!(rate(99.0).reached(), Some("no"));
        let latency = |value| Row::new(("l", "latency"), Figure::millis(value)).goal(25.0, 10.0);
        assert_eq!(latency(10.0).reached(), Some("yes"));
        assert_eq!(latency(25.0).reached(), Some("at least"));
        assert_eq!(latency(26.0).reached(), Some("no"));
        let slower = latency(30.0)
            .against("pgbench", Figure::millis(20.0))
            .goal(3.0, 2.0);
        assert_eq!(slower.reached(), Some("yes"), "the ratio counts");
        assert_eq!(Row::new(("x", "x"), Figure::millis(1.0)).reached(), None);
    }

    #[test]
    fn the_table_says_what_could_not_be_measured() {
        let failed = Row::failed(("b", "batches"), &anyhow::anyhow!("answered 404")).goal(1.0, 2.0);
        assert_eq!(failed.reached(), Some("no"));
        let mut table = Table {
            rows: vec![rate(150.0)],
            ..Table::default()
        };
        assert!(table.is_ok());
        table.rows.push(failed);
        assert!(!table.is_ok());
        let text = table.text();
        assert!(
            text.contains(
                "| rate    | 150 /s       | 100 /s pgbench | 1.50× | ≥ 1×     | ≥ 2× | at least |"
            ),
            "{text}"
        );
        assert!(
            text.contains("not measured: batches: answered 404"),
            "{text}"
        );
        let json = table.json();
        assert_eq!(json["ok"], false);
        assert_eq!(json["rows"][0]["ratio"], 1.5);
        assert_eq!(json["rows"][1]["fault"], "answered 404");
    }
}
