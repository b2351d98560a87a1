//! What a saga runs on: its definition, with the sagas of the same module that stand for its steps.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::definition::{Body, Definition};

/// Children within children are followed this far.
pub const DEPTH_MAX: usize = 8;

/// A saga has at most so many steps, those of its children counted each time they stand for a step.
pub const STEPS_MAX: usize = 4_096;

/// A definition and the definitions of its children, their children, and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    definition: Arc<Definition>,
    children: BTreeMap<String, Arc<Definition>>,
    size: Size,
}

/// Why a definition is no plan: the steps that stand for sagas lead nowhere, in a circle, or to too many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPlan {
    /// No saga of the module has this name.
    Unknown(String),
    /// The saga of this name is its own child, or one of its children's.
    Cycle(String),
    /// Children are nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// With its children it has more steps than [`STEPS_MAX`].
    TooLarge,
}

impl fmt::Display for NoPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "its child `{name}` is no saga of this module"),
            Self::Cycle(name) => write!(f, "its child `{name}` comes back to itself; a saga cannot be part of itself"),
            Self::TooDeep => write!(f, "its children are nested deeper than {DEPTH_MAX}; flatten them"),
            Self::TooLarge => write!(f, "it has more than {STEPS_MAX} steps with those of its children"),
        }
    }
}

impl std::error::Error for NoPlan {}

impl Plan {
    /// The plan of a definition whose children are among `module`, the definitions that came with it.
    pub fn new(definition: Arc<Definition>, module: &[Arc<Definition>]) -> Result<Self, NoPlan> {
        let mut gathered = Gathered { module, above: vec![definition.name.clone()], found: BTreeMap::new() };
        let size = gathered.gather(&definition)?;
        let children = gathered.found.into_iter().map(|(name, (child, _))| (name, child)).collect();
        Ok(Self { definition, children, size })
    }

    /// The definition that the saga follows.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The saga that stands for a step.
    pub fn child(&self, name: &str) -> Option<&Arc<Definition>> {
        self.children.get(name)
    }

    /// How many steps it has, those of its children counted each time they stand for a step.
    pub fn steps(&self) -> usize {
        self.size.steps
    }
}

/// How deep and how large a definition is with its children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Size {
    depth: usize,
    steps: usize,
}

struct Gathered<'a> {
    module: &'a [Arc<Definition>],
    above: Vec<String>,
    found: BTreeMap<String, (Arc<Definition>, Size)>,
}

impl Gathered<'_> {
    fn gather(&mut self, definition: &Definition) -> Result<Size, NoPlan> {
        let mut size = Size::default();
        for (_, step) in definition.steps() {
            let child = match &step.body {
                Body::Code | Body::Command(_) => Size::default(),
                Body::Child(name) => self.child(name)?,
            };
            size = Size { depth: size.depth.max(child.depth), steps: size.steps + 1 + child.steps };
            if size.steps > STEPS_MAX {
                return Err(NoPlan::TooLarge);
            }
        }
        Ok(size)
    }

    fn child(&mut self, name: &str) -> Result<Size, NoPlan> {
        if self.above.iter().any(|above| above == name) {
            return Err(NoPlan::Cycle(name.to_owned()));
        }
        let size = match self.found.get(name) {
            Some((_, size)) => *size,
            None => {
                let child = self.module.iter().find(|child| child.name == name);
                let child = Arc::clone(child.ok_or_else(|| NoPlan::Unknown(name.to_owned()))?);
                self.above.push(name.to_owned());
                let size = self.gather(&child)?;
                self.above.pop();
                let size = Size { depth: size.depth + 1, ..size };
                self.found.insert(name.to_owned(), (child, size));
                size
            }
        };
        if self.above.len() + size.depth > DEPTH_MAX + 1 {
            return Err(NoPlan::TooDeep);
        }
        Ok(size)
    }
}
