//! Names of nodes in messages.

/// Nodes that a message names.
const NAMED_NODES: usize = 5;

/// The first few of `names`, and how many more there are of `number`.
pub(super) fn join_some<'n>(names: impl IntoIterator<Item = &'n str>, number: usize) -> String {
    let named = number.min(NAMED_NODES);
    let shown: Vec<_> = names.into_iter().take(named).collect();
    match number - shown.len() {
        0 => shown.join(", "),
        more if shown.is_empty() => format!("{more} nodes"),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// The first few of `names`, and how many more there are.
pub(super) fn join_names(names: &[&str]) -> String {
    join_some(names.iter().copied(), names.len())
}
