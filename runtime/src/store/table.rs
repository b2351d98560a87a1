//! The tables of rows: the one place that says which there are, how they are called and what each holds.
//!
//! A table's number is part of the checksum of each of its rows, and its name is how a store finds it: neither changes, and
//! neither is used again when a table is gone. The keys are written in `journal/keys.rs`, the values by whoever owns the table.

/// Writes the enum, [`Table::ALL`], [`Table::id`] and [`Table::name`] from one list.
macro_rules! tables {
    ($($(#[$doc:meta])* $variant:ident $id:literal $name:literal,)*) => {
        /// The derived tables. State that can be computed again from the journal, committed together with it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Table {
            $($(#[$doc])* $variant = $id,)*
        }

        impl Table {
            /// All of them, in the order in which they are opened.
            pub const ALL: [Self; [$($id),*].len()] = [$(Self::$variant),*];

            /// Its number, which never changes.
            pub const fn id(self) -> u8 {
                self as u8
            }

            /// Its name, which never changes.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

tables! {
    /// Facts about the whole store: its format, its owner, how many sagas are live, how many schedules a namespace has.
    Meta 1 "meta",
    /// (namespace, kind, id) to the start position of its stream. The only randomly keyed table.
    ById 2 "by_id",
    /// Start position to a saga's summary.
    Sagas 3 "sagas",
    /// (status, start position): what is live, by status.
    ByStatus 4 "by_status",
    /// (due, position): the moment at which what begins there wants to be woken: a saga, a schedule, a job, an event; or at which
    /// the answer to a verb that was recorded there is forgotten.
    Timers 5 "timers",
    /// (namespace, event type, key, start position): which sagas wait for what.
    Waits 6 "waits",
    /// (namespace, event type, key, position): events that are kept for those who come later.
    Events 7 "events",
    /// (namespace, module, version): what was deployed.
    Modules 8 "modules",
    /// (namespace, idempotency key): answers of verbs and of deduplicated messages.
    Answers 9 "answers",
    /// (namespace, module, start position): sagas that a grant to the module would let go on; without a module, sagas that code for
    /// an aggregate would let go on.
    Denied 10 "denied",
    /// (namespace, lock key, start position): who holds a lock key, and who waits for it, first come first.
    Locks 11 "locks",
    /// (namespace, schedule): what it is and what is due; and (namespace, saga): which schedule waits for its end.
    Schedules 12 "schedules",
    /// (namespace, start position): what a job does, and how far it is. From its start until a week after its end.
    Jobs 13 "jobs",
    /// (namespace, aggregate, id): a state that is kept, so that the events before it need not be folded again.
    States 14 "states",
    /// (namespace, aggregate, claimed key): the id of the one aggregate that holds it.
    Claims 16 "claims",
    /// (namespace, policy): the position up to which everything is handled, parked or not for it; (namespace, policy, position): what
    /// is handled behind that.
    Cursors 18 "cursors",
    /// (namespace, event type, position): who has the event: the id of an aggregate, or nobody, if it was published.
    EventNames 19 "event_names",
    /// (namespace, policy, key, position): causes that wait for an operator, and those that wait behind one with the same key.
    Parked 20 "parked",
    /// (namespace, id of what caused it, position): where what a command, a saga or a published event led to is recorded, in the
    /// stream of something else.
    Correlations 21 "correlations",
    /// (position of what is told): what many sagas are told, some of them in a turn, and how far it is. Until all were told.
    Broadcasts 28 "broadcasts",
    /// (namespace, event type, version of its data): the position of the first event of an aggregate in this form.
    Shapes 29 "shapes",
    /// (position): what is recorded there and has not reached everybody in the shard that it is for.
    Messages 30 "messages",
    /// (namespace, policy, position): causes of a policy that are no events: answers to its commands, and timers that fired. Until they
    /// are handled or parked.
    Arrivals 31 "arrivals",
    /// (namespace, policy, key): how an instance stands, and where its stream begins.
    Instances 32 "instances",
}

/// Numbers and names of tables that later features are designed with. A table that is built moves into the list above with the
/// number and the name that it has here; until then no store has it, and nothing else may be called so.
pub const RESERVED: [(u8, &str); 7] = [
    // Aggregates: (namespace, tag, position), for decisions over several streams.
    (17, "tags"),
    // Views: (view, generation, key) to a row of the view; (view, generation) to the position that it shows.
    (22, "views"),
    (23, "checkpoints"),
    // Relays: (relay, lane) to what was sent; between shards (to, number) of what leaves, and (from) to the last that came in.
    (24, "relays"),
    (25, "outbox"),
    (26, "inbox"),
    // People whose data can be forgotten: (subject) to the key of its payloads.
    (27, "subjects"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect;

    use super::*;

    /// A renamed table is an empty table: its rows would be gone without any error.
    #[test]
    fn numbers_and_names_of_tables_never_change() {
        let built = Table::ALL.map(|table| (table.id(), table.name()));
        let lines = built.iter().map(|(id, name)| format!("{id} {name}"));
        expect![[r#"
            1 meta
            2 by_id
            3 sagas
            4 by_status
            5 timers
            6 waits
            7 events
            8 modules
            9 answers
            10 denied
            11 locks
            12 schedules
            13 jobs
            14 states
            16 claims
            18 cursors
            19 event_names
            20 parked
            21 correlations
            28 broadcasts
            29 shapes
            30 messages
            31 arrivals
            32 instances"#]]
        .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
        let lines = RESERVED.iter().map(|(id, name)| format!("{id} {name}"));
        expect![[r#"
            17 tags
            22 views
            23 checkpoints
            24 relays
            25 outbox
            26 inbox
            27 subjects"#]]
        .assert_eq(&lines.collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn no_two_tables_share_a_number_or_a_name() {
        let all: Vec<(u8, &str)> = Table::ALL.map(|table| (table.id(), table.name())).into_iter().chain(RESERVED).collect();
        assert_eq!(all.iter().map(|(id, _)| id).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(|(_, name)| name).collect::<BTreeSet<_>>().len(), all.len());
        // What else is in a redb file has the number 0 in checksums, and these names.
        assert!(all.iter().all(|(id, name)| *id != 0 && !["journal", "appends"].contains(name)));
    }
}
