//! A breadth-first search through everything that may happen in a small world.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
};

use super::world::{Check, Event, Left, World};

/// What a search has found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The shortest history that breaks a promise.
    pub(crate) history: Vec<Event>,
    pub(crate) broken: (Check, String),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} after:", self.broken)?;
        self.history.iter().try_for_each(|event| writeln!(f, "{event:?}"))
    }
}

/// How much a search has looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) depth: usize,
    pub(crate) states: usize,
    pub(crate) transitions: usize,
}

/// How each state was reached first: the state before, and the number of the choice.
type Ways = HashMap<u64, (u64, usize)>;

/// Looks at all histories of at most `depth` events, in order of their length.
///
/// Two histories that lead to the same state are one from there on.
///
/// # Errors
/// Returns the first history that breaks a promise.
pub(crate) fn search(start: &World, first: &Left, depth: usize) -> Result<Extent, Box<Found>> {
    let mut ways = Ways::new();
    let mut extent = Extent::default();
    let mut frontier = vec![(key(start, first), start.clone(), first.clone())];
    ways.extend(frontier.iter().map(|(key, ..)| (*key, (*key, 0))));
    while extent.depth < depth && !frontier.is_empty() {
        extent.depth += 1;
        let mut next = Vec::new();
        for (parent, world, left) in frontier {
            for (number, (event, left)) in world.choices(&left).into_iter().enumerate() {
                extent.transitions += 1;
                let mut world = world.clone();
                world.happen(&event);
                let key = key(&world, &left);
                let Entry::Vacant(way) = ways.entry(key) else { continue };
                way.insert((parent, number));
                if let Some(broken) = world.violations().first().cloned() {
                    return Err(Box::new(Found {
                        history: history(start, first, &ways, key),
                        broken,
                    }));
                }
                next.push((key, world, left));
            }
        }
        frontier = next;
    }
    extent.states = ways.len();
    Ok(extent)
}

fn key(world: &World, left: &Left) -> u64 {
    let mut digest = DefaultHasher::new();
    (world.key(), left).hash(&mut digest);
    digest.finish()
}

/// The history that has led to a state.
fn history(start: &World, left: &Left, ways: &Ways, mut key: u64) -> Vec<Event> {
    let mut numbers = Vec::new();
    while let Some((parent, number)) = ways.get(&key).filter(|(parent, _)| *parent != key) {
        numbers.push(*number);
        key = *parent;
    }
    let (mut world, mut left, mut history) = (start.clone(), left.clone(), Vec::new());
    for number in numbers.into_iter().rev() {
        let Some((event, after)) = world.choices(&left).into_iter().nth(number) else { break };
        world.happen(&event);
        history.push(event);
        left = after;
    }
    history
}
