//! What happened, as text.

use std::time::Duration;

use crate::Moment;
use crate::bindings::saga::exports::amends::module::saga::Wait;

/// Lines, of which equal neighbours are one line with a count.
#[derive(Default)]
pub(super) struct Trace(Vec<(String, u32)>);

impl Trace {
    pub(super) fn push(&mut self, line: String) {
        match self.0.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            _ => self.0.push((line, 1)),
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let counted = |(line, count): &(String, u32)| match count {
            1 => line.clone(),
            _ => format!("{line} ×{count}"),
        };
        self.0.iter().map(counted).collect()
    }

    /// Compares the lines after the first `shown` ones with what was expected, and says how many lines there are.
    #[track_caller]
    pub(super) fn compare(&self, shown: usize, expected: &str) -> usize {
        let lines = self.lines();
        let happened = lines[shown.min(lines.len())..].join("\n");
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let expected = expected.join("\n");
        assert!(happened == expected, "\nexpected:\n{expected}\n\nhappened:\n{happened}\n");
        lines.len()
    }
}

/// `waits for event approval/42 until +1h`, as seen at `now`.
pub(super) fn waiting(wait: &Wait, now: Moment) -> String {
    let event = wait.event.as_ref().map(|event| format!(" for event {}/{}", event.event_type, event.key));
    let answer = if wait.answer.is_some() { " for the answer" } else { "" };
    let until = wait.until.map(|until| format!(" until +{}", short(Moment::from_millis(until).since(now))));
    format!("waits{}{answer}{}", event.unwrap_or_default(), until.unwrap_or_default())
}

/// In the largest unit that leaves no rest.
pub(super) fn short(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}
