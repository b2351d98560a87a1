//! Whose trouble it is when a component is not taken: who asked is told what can help.

/// Where the trouble lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// In the component: it is refused, today and tomorrow.
    Component,
    /// In what the host has now, as memory, files or processes: the same bytes may be taken later.
    Host,
    /// In the host's program: a bug, which the same bytes meet again.
    Bug,
}
