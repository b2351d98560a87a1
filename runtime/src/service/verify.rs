//! Whether a component may become a version: what the guest host found in its bytes, held against the rules of definitions.

use std::{fmt, sync::Arc};

use amends_core::{Definition, Trigger, aggregate, id::Name, lint, policy, projection, trigger, validate};

use crate::{
    engine::{guests::ModuleDigest, module::schema::Schema},
    host::{self, VerifyError},
    plain::escape,
    trouble::Trouble,
    unfit,
};

/// A component that may become a version: what is in it, and what it asks for.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The name in the component.
    pub module: String,
    /// SHA-256 of the bytes.
    pub digest: ModuleDigest,
    /// Their size.
    pub bytes: u64,
    /// Its sagas, validated.
    pub definitions: Vec<Definition>,
    /// Which events start which of them, validated.
    pub triggers: Vec<Trigger>,
    /// Its aggregates, validated.
    pub aggregates: Vec<aggregate::Definition>,
    /// Its projections, validated.
    pub projections: Vec<projection::Definition>,
    /// Its policies, validated.
    pub policies: Vec<policy::Definition>,
    /// Interfaces that it imports, by name.
    pub imports: Vec<String>,
    /// What is legal and perhaps not meant.
    pub warnings: Vec<String>,
}

/// Why a component was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// Where the trouble lies: in the component, or in the host.
    pub trouble: Trouble,
    /// For machines, in snake case: `not_a_component`, `bad_definition`, …
    pub code: &'static str,
    /// Each thing that is wrong, naming the step or the import.
    pub reasons: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join("; "))?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for Unverified {}

impl From<VerifyError> for Unverified {
    fn from(error: VerifyError) -> Self {
        let (trouble, code) = (error.problem.trouble(), error.problem.code());
        let hint = Some(unfit::remedy(error.problem).to_owned());
        Self { trouble, code, reasons: vec![error.message], hint }
    }
}

/// Holds what was found in a component of so many bytes against the rules: its names, its definitions, its triggers, its schemas.
pub fn check(found: host::Verified, bytes: u64, limits: &validate::Limits) -> Result<Verified, Unverified> {
    let host::Verified { digest, description, imports, .. } = found;
    let module = Name::new(&description.module)
        .map_err(|bad| bad_definition(vec![format!("module name `{}`: {bad}", description.module)]))?;
    let sagas: Vec<Arc<Definition>> = description.sagas.iter().cloned().map(Arc::new).collect();
    let problems = sagas.iter().flat_map(|saga| validate::problems(saga, &sagas, limits));
    let problems = problems.chain(trigger::problems(&description.triggers, &sagas));
    let mut reasons: Vec<String> = problems.map(|problem| problem.to_string()).collect();
    reasons.extend(description.sagas.iter().filter_map(|saga| {
        let why = Schema::read(saga.schema.as_deref()?).err()?;
        Some(format!("saga `{}`: the schema of its input cannot be used: {why}", saga.name))
    }));
    let mut names: Vec<&str> = description.sagas.iter().map(|saga| saga.name.as_str()).collect();
    names.sort_unstable();
    reasons.extend(names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("saga `{}` is defined twice", pair[0])));
    reasons.extend(aggregate::problems(&description.aggregates));
    reasons.extend(projection::problems(&description.projections));
    reasons.extend(policy::problems(&description.policies));
    reasons.extend(unreadable_schemas(&description.aggregates));
    reasons.extend(unreadable_parameters(&description.projections));
    let has_state = !(description.aggregates.is_empty() && description.projections.is_empty() && description.policies.is_empty());
    let is_empty = description.sagas.is_empty() && !has_state;
    if description.sagas.is_empty() && has_state {
        reasons.extend(imports.iter().filter(|import| leads_outside(import)).map(|import| {
            format!(
                "the module imports {import}, and has no saga: aggregates, projections and policies reach nothing outside; let a step of a saga call"
            )
        }));
    }
    if is_empty {
        reasons.push(format!(
            "module `{module}` has no saga, no aggregate, no projection and no policy; add one to its description"
        ));
    }
    if !reasons.is_empty() {
        return Err(bad_definition(reasons));
    }
    let warnings = sagas.iter().flat_map(|saga| lint::warnings(saga, &sagas));
    let warnings = warnings.map(|warning| escape(&warning.to_string())).collect();
    let host::Description { sagas: definitions, triggers, aggregates, projections, policies, .. } = description;
    let module = module.to_string();
    Ok(Verified { module, digest, bytes, definitions, triggers, aggregates, projections, policies, imports, warnings })
}

/// Whether whoever imports it calls out: without a socket that was created nothing is connected. `std` may link other parts of
/// `wasi:sockets` that nobody calls.
fn leads_outside(import: &str) -> bool {
    let interface = import.split_once('@').map_or(import, |(interface, _)| interface);
    matches!(interface, "wasi:http/outgoing-handler" | "wasi:sockets/tcp-create-socket" | "wasi:sockets/udp-create-socket")
}

/// The schemas of commands that cannot be used.
fn unreadable_schemas(aggregates: &[aggregate::Definition]) -> impl Iterator<Item = String> {
    let commands = aggregates.iter().flat_map(|known| known.commands.iter().map(move |command| (known, command)));
    commands.filter_map(|(known, command)| {
        let why = Schema::read(command.schema.as_deref()?).err()?;
        Some(format!("aggregate `{}`: the schema of command `{}` cannot be used: {why}", known.name, command.name))
    })
}

/// The schemas of queries that cannot be used.
fn unreadable_parameters(projections: &[projection::Definition]) -> impl Iterator<Item = String> {
    let queries = projections.iter().flat_map(|known| known.queries.iter().map(move |query| (known, query)));
    queries.filter_map(|(known, query)| {
        let why = Schema::read(query.schema.as_deref()?).err()?;
        Some(format!("projection `{}`: the schema of query `{}` cannot be used: {why}", known.name, query.name))
    })
}

/// Names in the reasons come from a guest, and are read on terminals: marks that turn the reading direction are escaped.
fn bad_definition(reasons: Vec<String>) -> Unverified {
    Unverified {
        trouble: Trouble::Component,
        code: "bad_definition",
        reasons: reasons.iter().map(|reason| escape(reason)).collect(),
        hint: Some("mend the definition and deploy again; nothing was stored".to_owned()),
    }
}
