//! What a drill proved, as a table and one line.

use std::fmt;
use std::time::Duration;

use crate::commands::cluster::table::aligned;

/// One step and how it went.
#[derive(Debug)]
pub struct Step {
    /// What was done.
    pub what: String,
    /// Was the tracker away the whole time?
    pub away: bool,
    /// How long it took.
    pub took: Duration,
    /// Or what went wrong.
    pub fault: Option<String>,
}

/// All steps.
#[derive(Debug, Default)]
pub struct Report {
    /// The tracker that went away, as in the list.
    pub tracker: String,
    /// In their order.
    pub steps: Vec<Step>,
    /// What could not be cleaned up, or will stay.
    pub left: String,
}

impl Report {
    /// Did everything work?
    pub fn passed(&self) -> bool {
        self.steps.iter().all(|step| step.fault.is_none())
    }

    fn verdict(&self) -> String {
        let away = self.steps.iter().filter(|step| step.away);
        match self.steps.iter().find(|step| step.fault.is_some()) {
            Some(step) => format!("FAILED: {} did not work while {} was practising", step.what, self.tracker),
            None => {
                let slowest = away.clone().map(|step| step.took).max().unwrap_or_default();
                format!(
                    "passed: {} steps worked without tracker {}, the slowest took {:.1} s; it came back and caught up",
                    away.count(),
                    self.tracker,
                    slowest.as_secs_f64()
                )
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["step", "tracker", "seconds", ""].map(str::to_owned).to_vec()];
        for step in &self.steps {
            let outcome =
                step.fault.as_ref().map_or_else(|| "ok".to_owned(), |fault| format!("FAILED: {fault}"));
            let tracker = if step.away { "away" } else { "up" };
            let seconds = format!("{:.2}", step.took.as_secs_f64());
            rows.push(vec![step.what.clone(), tracker.to_owned(), seconds, outcome]);
        }
        f.write_str(&aligned(&rows))?;
        writeln!(f, "{}", self.left)?;
        writeln!(f, "{}", self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(faults: [Option<&str>; 2], expected: Expect) {
        let step = |what: &str, away, fault: Option<&str>| Step {
            what: what.to_owned(),
            away,
            took: Duration::from_millis(1_230),
            fault: fault.map(str::to_owned),
        };
        let steps = vec![step("login", true, faults[0]), step("caught up", false, faults[1])];
        let report = Report { tracker: "1 (a:1)".to_owned(), steps, left: "nothing is left".to_owned() };
        assert_eq!(report.passed(), faults == [None, None]);
        expected.assert_eq(&report.to_string());
    }

    #[test]
    fn reports() {
        check(
            [None, None],
            expect![[r#"
                step       tracker  seconds
                login      away     1.23     ok
                caught up  up       1.23     ok
                nothing is left
                passed: 1 steps worked without tracker 1 (a:1), the slowest took 1.2 s; it came back and caught up
            "#]],
        );
        check(
            [Some("no tracker"), None],
            expect![[r#"
                step       tracker  seconds
                login      away     1.23     FAILED: no tracker
                caught up  up       1.23     ok
                nothing is left
                FAILED: login did not work while 1 (a:1) was practising
            "#]],
        );
    }
}
