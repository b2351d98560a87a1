//! How far a policy is: everything up to its cursor is taken, parked, or not for it, and so are some causes behind it.
//!
//! Lines go on at different times. The cursor stops before the first cause that is not taken; what is taken behind it has a row each, so
//! that a host that starts there takes nothing twice.

use super::{PolicyKey, handling::Handling, rows};
use crate::{engine::kernel::commit::Commit, store::Position};

impl Handling {
    /// A cause that was read is taken, or parked.
    pub(super) fn pass(&mut self, commit: &mut Commit<'_>, key: &PolicyKey, position: Position) {
        if !self.open.remove(position) {
            return;
        }
        self.ahead.insert(position);
        let passed = self.open.first().map_or(self.read, |first| first - 1);
        let behind = self.ahead.split_off(&(passed + 1));
        let through = std::mem::replace(&mut self.ahead, behind);
        if through.is_empty() {
            rows::put_ahead(commit, key, position);
            return;
        }
        for taken in through.into_iter().filter(|taken| *taken != position) {
            rows::delete_ahead(commit, key, taken);
        }
        self.cursor = passed;
        rows::put_cursor(commit, key, self.cursor);
    }

    /// What was read is not for the policy: where nothing before it is open, it need not be read again.
    pub(super) fn pass_over(&mut self, commit: &mut Commit<'_>, key: &PolicyKey) {
        if self.open.first().is_none() && self.ahead.is_empty() && self.read > self.cursor {
            self.cursor = self.read;
            rows::put_cursor(commit, key, self.cursor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use amends_core::id::Namespace;
    use expect_test::expect;

    use super::*;
    use crate::{
        engine::{
            kernel::{Kernel, action::Action},
            limits::Limits,
            metrics::Metrics,
        },
        journal::keys,
        store::{RowChange, Table},
    };

    /// What is written when these positions are taken in this order, of those that were read up to 20.
    fn written(open: &[Position], taken: &[Position]) -> String {
        let key = PolicyKey::new(&Namespace::new("default").unwrap(), "p");
        let mut handling = Handling { read: 20, cursor: 9, ..Handling::default() };
        open.iter().for_each(|position| handling.open.insert(*position, 1));
        let mut lines = Vec::new();
        for position in taken {
            let mut kernel = Kernel::new(Limits::default(), Arc::new(Metrics::default()), 1, 1, 20);
            handling.pass(&mut kernel.commit(), &key, *position);
            kernel.hand_over();
            let changes = kernel.take_actions().into_iter().flat_map(|action| match action {
                Action::Commit(batch, _) => batch.rows,
                _ => Vec::new(),
            });
            let changes: Vec<String> =
                changes.filter(|change| change.table == Table::Cursors).map(|change| shown(&change)).collect();
            lines.push(format!("{position}: {}  cursor {}", changes.join(" "), handling.cursor));
        }
        lines.join("\n")
    }

    fn shown(change: &RowChange) -> String {
        let (_, _, ahead) = keys::parse_cursor(&change.key).unwrap();
        match (ahead, &change.value) {
            (None, _) => "cursor".to_owned(),
            (Some(at), Some(_)) => format!("+{at}"),
            (Some(at), None) => format!("-{at}"),
        }
    }

    #[test]
    fn what_is_taken_before_its_turn_has_a_row_until_the_cursor_has_passed_it() {
        expect![[r#"
            12: +12  cursor 9
            15: +15  cursor 9
            10: -12 cursor  cursor 13
            14: -15 cursor  cursor 20"#]]
        .assert_eq(&written(&[10, 12, 14, 15], &[12, 15, 10, 14]));
    }

    #[test]
    fn what_is_taken_in_order_has_no_row_but_the_cursor() {
        expect![[r#"
            10: cursor  cursor 11
            12: cursor  cursor 20
            12:   cursor 20"#]]
        .assert_eq(&written(&[10, 12], &[10, 12, 12]));
    }
}
