//! Sagas and modules: what a component contains, in the order in which it runs.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::moment::millis;
use crate::step::{Erased, Step, kind};

/// What one component contains. Give the function that makes it to [`export!`](crate::export).
#[must_use = "a module does nothing until it is exported"]
pub struct Module {
    name: Cow<'static, str>,
    pub(crate) sagas: Vec<Definition>,
}

impl Module {
    /// A module under this name: `[a-z][a-z0-9-]{0,62}`. It is what operators deploy, grant to and roll back; the name of the
    /// file does not matter. `env!("CARGO_PKG_NAME")` is a good one.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Module {
        Module { name: name.into(), sagas: Vec::new() }
    }

    /// Adds a saga.
    pub fn saga<I>(mut self, saga: Saga<I>) -> Module {
        self.sagas.push(saga.definition);
        self
    }

    /// The module's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn description(self) -> wit::Description {
        let sagas = self.sagas.into_iter().map(Definition::into_wit).collect();
        wit::Description { module: self.name.into_owned(), sagas }
    }

    pub(crate) fn step(&self, saga: &str, step: &str) -> Option<&Erased> {
        let definition = self.sagas.iter().find(|definition| definition.name == saga)?;
        definition.stages.iter().flatten().find(|candidate| candidate.spec.name == step)
    }
}

/// A saga: steps that run in order, undone in reverse if one of them fails.
///
/// `I` is its input. All steps get it, unchanged; what passes from one to the next is declared with [`Step::needs`].
/// First come compensatable steps, then at most one pivot, then retriable ones; the host refuses any other order at deploy.
///
/// ```
/// use amends_sdk::{Call, Result, Saga, Step};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Deserialize)] struct Trip;
/// # fn flight(_: Trip, _: &Call) -> Result<u32> { Ok(1) }
/// # fn hotel(_: Trip, _: &Call) -> Result<String> { Ok("H1".into()) }
/// # fn charge(_: Trip, _: &Call) -> Result { Ok(()) }
/// # fn email(_: Trip, _: &Call) -> Result { Ok(()) }
/// # fn cancel_flight(_: Trip, seat: Option<u32>, _: &Call) -> Result { Ok(()) }
/// # fn cancel_hotel(_: Trip, room: Option<String>, _: &Call) -> Result { Ok(()) }
///
/// let trip = Saga::new("trip")
///     .version(1)
///     .parallel((
///         Step::compensatable("reserve-flight", flight).undo(cancel_flight),
///         Step::compensatable("reserve-hotel", hotel).undo(cancel_hotel),
///     ))
///     .step(Step::pivot("charge", charge))
///     .step(Step::retriable("email", email))
///     .output("charge");
/// ```
#[must_use = "a saga does nothing until a module has it"]
pub struct Saga<I> {
    definition: Definition,
    input: PhantomData<fn(I)>,
}

/// A saga without its input's type. What this version of the SDK leaves out keeps its neutral value in the contract.
pub(crate) struct Definition {
    pub(crate) name: Cow<'static, str>,
    version: u32,
    pub(crate) stages: Vec<Vec<Erased>>,
    output: Option<String>,
    deadline_ms: Option<u64>,
    schema: Option<String>,
}

impl<I> Saga<I> {
    /// A saga under this name: `[a-z][a-z0-9-]{0,62}`, in one module only.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Saga<I> {
        let name = name.into();
        let definition = Definition { name, version: 1, stages: Vec::new(), output: None, deadline_ms: None, schema: None };
        Saga { definition, input: PhantomData }
    }

    /// A number for people to read, 1 by default. What a running saga stays on is the module's digest, whatever this says.
    pub fn version(mut self, version: u32) -> Self {
        self.definition.version = version;
        self
    }

    /// Adds a step after all steps so far.
    pub fn step<K: kind::Complete, O>(mut self, step: Step<K, I, O>) -> Self {
        self.definition.stages.push(vec![step.erase()]);
        self
    }

    /// Adds steps that run in parallel, after all steps so far: a tuple of up to eight, or a `Vec` or array of one type. The
    /// next step begins when all are done. They are undone in parallel, too.
    pub fn parallel(mut self, stage: impl Stage<I>) -> Self {
        self.definition.stages.push(stage.steps().0);
        self
    }

    /// Names the step whose output is the saga's. Otherwise it is that of the last step, or, when that is a parallel stage, an
    /// object of their outputs by name.
    pub fn output(mut self, step: impl Into<String>) -> Self {
        self.definition.output = Some(step.into());
        self
    }

    /// Rolls the saga back if it has not come to its point of no return this long after its start. None by default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.definition.deadline_ms = Some(millis(deadline));
        self
    }

    /// A JSON Schema of the input, as text or as a `serde_json::Value`: the host shows it, and starts no saga whose input does not
    /// fit. It refers to nothing outside of itself, and is refused at deploy if it is none. The test kit does not look at it.
    pub fn schema(mut self, schema: impl fmt::Display) -> Self {
        self.definition.schema = Some(schema.to_string());
        self
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn into_definition(self) -> Definition {
        self.definition
    }
}

impl Definition {
    /// The step whose output is the saga's, if one was named.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn output(&self) -> Option<&str> {
        self.output.as_deref()
    }

    fn into_wit(self) -> wit::Definition {
        let stage =
            |steps: Vec<Erased>| wit::Stage { steps: steps.into_iter().map(|step| step.spec).collect(), savepoint_after: None };
        wit::Definition {
            name: self.name.into_owned(),
            version: self.version,
            stages: self.stages.into_iter().map(stage).collect(),
            output: self.output,
            deadline_ms: self.deadline_ms,
            locks: Vec::new(),
            on_locked: wit::OnLocked::Queue,
            rounds: 0,
            schema: self.schema,
        }
    }
}

/// Steps that run in parallel: a tuple of steps, or a `Vec` or array of steps of one type.
pub trait Stage<I> {
    #[doc(hidden)]
    fn steps(self) -> Steps;
}

#[doc(hidden)]
pub struct Steps(Vec<Erased>);

impl<K: kind::Complete, I, O> Stage<I> for Vec<Step<K, I, O>> {
    fn steps(self) -> Steps {
        Steps(self.into_iter().map(Step::erase).collect())
    }
}

impl<K: kind::Complete, I, O, const N: usize> Stage<I> for [Step<K, I, O>; N] {
    fn steps(self) -> Steps {
        Steps(self.into_iter().map(Step::erase).collect())
    }
}

macro_rules! tuple_stages {
    ($($kind:ident $output:ident $step:ident),+) => {
        impl<I, $($kind: kind::Complete, $output),+> Stage<I> for ($(Step<$kind, I, $output>,)+) {
            fn steps(self) -> Steps {
                let ($($step,)+) = self;
                Steps(vec![$($step.erase()),+])
            }
        }
    };
}

tuple_stages!(K1 O1 s1);
tuple_stages!(K1 O1 s1, K2 O2 s2);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5, K6 O6 s6);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5, K6 O6 s6, K7 O7 s7);
tuple_stages!(K1 O1 s1, K2 O2 s2, K3 O3 s3, K4 O4 s4, K5 O5 s5, K6 O6 s6, K7 O7 s7, K8 O8 s8);
